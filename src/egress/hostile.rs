//! What the policy makes of hostile and of honest URLs, by table.

use std::net::IpAddr;

use proptest::prelude::*;
use url::{Host, Url};

use super::{EgressPolicy, Refused, Target};

/// Text, and why it is refused before anything is resolved.
const HOSTILE: &[(&str, &str)] = &[
    // This machine, in every spelling.
    ("http://127.0.0.1/", "address"),
    ("HTTP://127.0.0.1/", "address"),
    ("hTTpS://127.0.0.1/", "address"),
    ("http://127.0.0.1./", "address"),
    ("http://127.1/", "address"),
    ("http://127.0.1/", "address"),
    ("http://2130706433/", "address"),
    ("http://017700000001/", "address"),
    ("http://0x7f000001/", "address"),
    ("http://0X7F.1/", "address"),
    ("http://0x7f.0x0.0x0.0x1/", "address"),
    ("http://0177.0.0.01/", "address"),
    ("http://0177.0x0.1/", "address"),
    ("http://127.255.255.254/", "address"),
    ("http://0/", "address"),
    ("http://0x/", "address"),
    ("http://0.0.0.0:8080/", "address"),
    ("http://1/", "address"),
    ("http:127.0.0.1", "address"),
    ("http:/127.0.0.1", "address"),
    ("http:////127.0.0.1", "address"),
    ("  http://127.0.0.1/  ", "address"),
    // In other letters and dots.
    ("http://１２７.０.０.１/", "address"),
    ("http://①②⑦.⓪.⓪.①/", "address"),
    ("http://127。0。0。1/", "address"),
    ("http://127．0．0．1/", "address"),
    ("http://127｡0｡0｡1/", "address"),
    ("http://𝟏𝟐𝟕.0.0.1/", "address"),
    ("http://1\u{ad}27.0.0.1/", "address"),
    ("http://127.0.0.1\u{200b}/", "address"),
    ("http://%31%32%37.0.0.1/", "address"),
    ("http://127%2e0%2e0%2e1/", "address"),
    ("http://0%78%37%66.1/", "address"),
    ("http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/", "address"),
    // IPv6, and IPv4 inside of it.
    ("http://[::]/", "address"),
    ("http://[::1]/", "address"),
    ("http://[0:0:0:0:0:0:0:1]:8000/", "address"),
    ("http://[::127.0.0.1]/", "address"),
    ("http://[::ffff:127.0.0.1]/", "address"),
    ("http://[::FFFF:7F00:1]/", "address"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]/", "address"),
    ("http://[::ffff:0:127.0.0.1]/", "address"),
    ("http://[64:ff9b::10.0.0.1]/", "address"),
    ("http://[64:ff9b:1::10.0.0.1]/", "address"),
    ("http://[2002:7f00:1::]/", "address"),
    ("http://[2001:0:7f00:1::]/", "address"),
    ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "address"),
    ("http://[2606:4700::5efe:10.0.0.1]/", "address"),
    ("http://[2606:4700::200:5efe:10.0.0.1]/", "address"),
    ("http://[fe80::1]/", "address"),
    ("http://[fec0::1]/", "address"),
    ("http://[fd12:3456::1]/", "address"),
    ("http://[ff02::1]/", "address"),
    ("http://[2001:db8::1]/", "address"),
    ("http://[5f00::1]/", "address"),
    ("http://[::ffff:8.8.8.8]/", "address"),
    // Zone ids, and brackets that hold something else.
    ("http://[fe80::1%25eth0]/", "malformed"),
    ("http://[fe80::1%eth0]/", "malformed"),
    ("http://[::1%25lo]/", "malformed"),
    ("http://[127.0.0.1]/", "malformed"),
    ("http://[localhost]/", "malformed"),
    ("http://[::1/", "malformed"),
    ("http://::1/", "malformed"),
    ("http://[v1.7f000001]/", "malformed"),
    // Private networks and the services of clouds.
    ("http://10.0.0.1/", "address"),
    ("http://172.16.0.1/", "address"),
    ("http://172.31.255.255/", "address"),
    ("http://192.168.1.1/", "address"),
    ("http://100.64.0.1/", "address"),
    ("http://169.254.169.254/latest/meta-data/", "address"),
    ("http://2852039166/latest/meta-data/", "address"),
    ("http://0xa9fea9fe/", "address"),
    ("http://0251.0376.0251.0376/", "address"),
    ("http://169.254.43518/", "address"),
    ("http://169.254.170.2/v2/credentials", "address"),
    ("http://[fd00:ec2::254]/latest/meta-data/", "address"),
    ("http://[::ffff:a9fe:a9fe]/", "address"),
    ("http://100.100.100.200/", "address"),
    ("http://192.0.0.192/", "address"),
    ("http://168.63.129.16/metadata/", "address"),
    ("http://224.0.0.1/", "address"),
    ("http://255.255.255.255/", "address"),
    ("http://metadata.google.internal/computeMetadata/v1/", "name"),
    ("http://METADATA.google.internal./", "name"),
    ("http://metadata/", "name"),
    ("http://metadata.tencentyun.com/", "name"),
    ("http://instance-data/", "name"),
    ("http://host.docker.internal/", "name"),
    ("http://kubernetes.default.svc/", "name"),
    ("http://kubernetes.default.svc.cluster.local/", "name"),
    ("http://consul.service.consul/", "name"),
    // Names of this machine and of the network around it.
    ("http://localhost/", "name"),
    ("http://LOCALHOST/", "name"),
    ("http://localhost./", "name"),
    ("http://a.b.localhost/", "name"),
    ("http://localhost.localdomain/", "name"),
    ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "name"),
    ("http://ｌｏｃａｌｈｏｓｔ/", "name"),
    ("http://loc\u{ad}alhost/", "name"),
    ("http://%6c%6f%63alhost/", "name"),
    ("http://localhoſt/", "name"),
    ("http://printer.local/", "name"),
    ("http://localhost4.localdomain4/", "name"),
    ("http://localhost6.localdomain6/", "name"),
    ("http://wiki.intranet/", "name"),
    ("http://vault.private/", "name"),
    ("http://fritz.home/", "name"),
    ("http://relay.mail/", "name"),
    ("http://gateway.docker/", "name"),
    ("http://web.test/", "name"),
    ("http://nas.home.arpa/", "name"),
    ("http://home.arpa/", "name"),
    ("http://router.lan/", "name"),
    ("http://wiki.corp/", "name"),
    ("http://intranet/", "name"),
    ("http://redis:8080/", "name"),
    ("http://db.internal:5432/", "name"),
    ("http://localhost:22/", "name"),
    // Names that are none.
    ("http://localhost../", "malformed"),
    ("http://a..example.com/", "malformed"),
    ("http://.example.com/", "malformed"),
    ("http://./", "malformed"),
    ("http://*.example.com/", "malformed"),
    ("http://exa$mple.com/", "malformed"),
    ("http://(localhost)/", "malformed"),
    ("http://xn--/", "malformed"),
    ("http://xn--localhost-/", "malformed"),
    ("http://xn--a-ecp.ru/", "malformed"),
    ("http://example.com%00.evil.org/", "malformed"),
    ("http://example.com%0a/", "malformed"),
    ("http://exam%20ple.com/", "malformed"),
    ("http://example.com%2f@evil.org/", "credentials"),
    ("http://256.256.256.256/", "malformed"),
    ("http://127.0.0.1.1/", "malformed"),
    ("http://4294967296/", "malformed"),
    ("http://127.0.0.08/", "malformed"),
    ("http://1.2.3.4.example.0x7f/", "malformed"),
    ("http:///", "malformed"),
    ("http://", "malformed"),
    ("", "malformed"),
    ("//127.0.0.1/", "malformed"),
    ("127.0.0.1", "malformed"),
    ("/etc/passwd", "malformed"),
    // Control characters, anywhere.
    ("http://127.0.0.1\t/", "malformed"),
    ("ht\ntp://example.com/", "malformed"),
    ("http://exam\r\nple.com/", "malformed"),
    ("\u{1}http://example.com/", "malformed"),
    ("http://example.com/\r\nHost: evil.org", "malformed"),
    ("http://example.com/\0", "malformed"),
    ("http://example.com/\u{7f}", "malformed"),
    ("http://example.com/\u{85}", "malformed"),
    // Backslashes, which half of all readers take for slashes.
    ("http:\\\\127.0.0.1\\", "malformed"),
    ("http://example.com\\@127.0.0.1/", "malformed"),
    ("http:/\\example.com/", "malformed"),
    ("http://127.0.0.1\\.example.com/", "malformed"),
    // Somebody before the host.
    ("http://user@example.com/", "credentials"),
    ("http://user:secret@example.com/", "credentials"),
    ("http://:secret@example.com/", "credentials"),
    ("http://@example.com/", "credentials"),
    ("http://:@example.com/", "credentials"),
    ("http://example.com@127.0.0.1/", "credentials"),
    ("http://example.com:80@127.0.0.1/", "credentials"),
    ("http://example.com@@127.0.0.1/", "credentials"),
    ("http://127.0.0.1%23@example.com/", "credentials"),
    ("http://example.com＠127.0.0.1/", "malformed"),
    ("http://example.com%40127.0.0.1/", "malformed"),
    ("http:user@example.com", "credentials"),
    // Other schemes.
    ("file:///etc/passwd", "scheme"),
    ("FILE:///etc/passwd", "scheme"),
    ("file://localhost/etc/passwd", "scheme"),
    ("view-source:http://example.com/", "scheme"),
    ("view-source:file:///etc/passwd", "scheme"),
    ("data:text/html,<script>1</script>", "scheme"),
    ("blob:https://example.com/9115d58c", "scheme"),
    ("filesystem:http://example.com/temporary/", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("about:blank", "scheme"),
    ("chrome://settings", "scheme"),
    ("devtools://devtools/bundled/inspector.html", "scheme"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
    ("dict://127.0.0.1:11211/stats", "scheme"),
    ("ftp://example.com/", "scheme"),
    ("ldap://example.com/", "scheme"),
    ("ws://example.com/", "scheme"),
    ("wss://example.com/", "scheme"),
    ("jar:http://example.com/a.zip!/", "scheme"),
    ("netdoc:///etc/passwd", "scheme"),
    ("example.com:80/", "scheme"),
    ("localhost:8080", "scheme"),
    // Ports.
    ("http://example.com:0/", "port"),
    ("http://example.com:22/", "port"),
    ("http://example.com:25/", "port"),
    ("http://example.com:81/", "port"),
    ("https://example.com:3306/", "port"),
    ("http://example.com:6379/", "port"),
    ("http://example.com:7999/", "port"),
    ("http://example.com:9000/", "port"),
    ("http://8.8.8.8:53/", "port"),
    ("http://[2606:4700:4700::1111]:53/", "port"),
    ("http://example.com:65536/", "malformed"),
    ("http://example.com:-80/", "malformed"),
    ("http://example.com:80:80/", "malformed"),
    ("http://example.com:８０/", "malformed"),
    ("http://127.0.0.1:22/", "address"),
];

/// Text, host and port that are left of it.
const HONEST: &[(&str, &str, u16)] = &[
    ("http://example.com", "example.com", 80),
    ("https://example.com/", "example.com", 443),
    ("HTTPS://EXAMPLE.COM/Path?q=1#top", "example.com", 443),
    ("https://example.com./", "example.com", 443),
    (" https://example.com/ ", "example.com", 443),
    ("https://example.com:443/", "example.com", 443),
    ("http://example.com:443/", "example.com", 443),
    ("http://example.com:8000/", "example.com", 8000),
    ("http://example.com:8080/", "example.com", 8080),
    ("https://example.com:8443/", "example.com", 8443),
    ("https://example.com:8999/", "example.com", 8999),
    ("https://bücher.example.com/", "xn--bcher-kva.example.com", 443),
    ("https://xn--bcher-kva.example.com/", "xn--bcher-kva.example.com", 443),
    ("https://例え.jp/", "xn--r8jz45g.jp", 443),
    ("https://my_host.example.com/", "my_host.example.com", 443),
    ("https://example.com/@user", "example.com", 443),
    ("https://example.com/?mail=a@b.org", "example.com", 443),
    ("https://example.com/#a@b\\c", "example.com", 443),
    ("https://example.com/a\\b", "example.com", 443),
    ("https://example.com/?next=http://127.0.0.1/", "example.com", 443),
    ("https://example.com/file:///etc/passwd", "example.com", 443),
    ("https://localhost.example.com/", "localhost.example.com", 443),
    ("https://notlocalhost.com/", "notlocalhost.com", 443),
    ("https://internal.example.com/", "internal.example.com", 443),
    ("https://metadata-api.example.com/", "metadata-api.example.com", 443),
    ("https://example.milan/", "example.milan", 443),
    ("https://mylocal.org/", "mylocal.org", 443),
    ("https://arpa.home.org/", "arpa.home.org", 443),
    ("https://1.2.3.4.example.com/", "1.2.3.4.example.com", 443),
    ("http://127.0.0.1.nip.io/", "127.0.0.1.nip.io", 80),
    ("https://8.8.8.8/", "8.8.8.8", 443),
    ("http://134744072/", "8.8.8.8", 80),
    ("https://[2606:4700:4700::1111]/", "[2606:4700:4700::1111]", 443),
];

fn ask(policy: &EgressPolicy, text: &str) -> Result<Target, Refused> {
    policy.target(&policy.parse(text)?)
}

fn allowing(networks: &[&str]) -> EgressPolicy {
    let allow = networks.iter().map(|network| network.parse().expect("a network")).collect();
    EgressPolicy { allow, ..EgressPolicy::default() }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

/// What becomes of a URL whose host resolves to `resolved`: where it would be dialled, or why not.
fn dial(policy: &EgressPolicy, text: &str, resolved: &[&str]) -> Result<Vec<String>, &'static str> {
    let target = ask(policy, text).map_err(Refused::why)?;
    let resolved = target.literal().map_or_else(|| addresses(resolved), |literal| vec![literal]);
    let admitted = target.admit(policy, &resolved).map_err(Refused::why)?;
    Ok(admitted.iter().map(ToString::to_string).collect())
}

#[test]
fn hostile_urls_are_refused_each_for_its_reason() {
    let policy = EgressPolicy::default();
    let wrong: Vec<_> = HOSTILE
        .iter()
        .map(|(text, why)| (text, ask(&policy, text).map_err(Refused::why), *why))
        .filter(|(_, found, why)| *found != Err(*why))
        .collect();
    assert!(wrong.is_empty(), "text, found, expected: {wrong:#?}");
}

#[test]
fn honest_urls_pass_in_their_one_form() {
    let policy = EgressPolicy::default();
    for &(text, host, port) in HONEST {
        let target = ask(&policy, text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        assert_eq!(target.host().to_string(), host, "{text}");
        let resolved = target.literal().map_or_else(|| addresses(&["93.184.215.14", "2606:4700::1"]), |literal| vec![literal]);
        let admitted = target.admit(&policy, &resolved).expect("public");
        assert_eq!(admitted.len(), resolved.len(), "{text}");
        assert!(admitted.iter().zip(&resolved).all(|(socket, address)| socket.ip() == *address && socket.port() == port));
    }
}

#[test]
fn a_name_is_as_bad_as_its_worst_address() {
    let policy = EgressPolicy::default();
    let cases: &[(&[&str], Result<usize, &str>)] = &[
        (&["93.184.215.14"], Ok(1)),
        (&["93.184.215.14", "2606:4700::1"], Ok(2)),
        (&[], Err("unresolved")),
        (&["127.0.0.1"], Err("address")),
        (&["93.184.215.14", "10.0.0.1"], Err("address")),
        (&["10.0.0.1", "93.184.215.14"], Err("address")),
        (&["93.184.215.14", "2606:4700::1", "::1"], Err("address")),
        (&["::ffff:93.184.215.14"], Err("address")),
        (&["64:ff9b::a00:1"], Err("address")),
        (&["168.63.129.16"], Err("address")),
    ];
    for (resolved, expected) in cases {
        let found = dial(&policy, "https://example.com/", resolved).map(|admitted| admitted.len());
        assert_eq!(found, *expected, "{resolved:?}");
    }
}

#[test]
fn an_allowed_network_is_open_on_every_port_and_nothing_else_is() {
    let policy = allowing(&["127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32", "203.0.113.7/32"]);
    let cases: &[(&str, &[&str], Result<&str, &str>)] = &[
        // Addresses.
        ("http://127.0.0.1:9222/", &[], Ok("127.0.0.1:9222")),
        ("http://0x7f.1:22/", &[], Ok("127.0.0.1:22")),
        ("http://10.1.255.255/", &[], Ok("10.1.255.255:80")),
        ("http://10.2.0.0/", &[], Err("address")),
        ("http://[fd00:1::5]:3000/", &[], Ok("[fd00:1::5]:3000")),
        ("http://[fd00:2::5]:3000/", &[], Err("address")),
        ("http://203.0.113.7/", &[], Ok("203.0.113.7:80")),
        ("http://203.0.113.8/", &[], Err("address")),
        // A mapped address is the address that is dialled; the other forms are not.
        ("http://[::ffff:10.1.0.1]/", &[], Ok("10.1.0.1:80")),
        ("http://[::ffff:10.2.0.1]/", &[], Err("address")),
        ("http://[::10.1.0.1]/", &[], Err("address")),
        ("http://[64:ff9b::10.1.0.1]/", &[], Err("address")),
        ("http://[2002:a01:1::]/", &[], Err("address")),
        ("http://[::1]/", &[], Err("address")),
        ("http://8.8.8.8:53/", &[], Err("port")),
        // Private names stand and fall with all their addresses.
        ("http://localhost:3000/", &["127.0.0.1"], Ok("127.0.0.1:3000")),
        ("http://localhost:3000/", &["127.0.0.1", "::1"], Err("name")),
        ("http://redis:6379/", &["10.1.0.4"], Ok("10.1.0.4:6379")),
        ("http://wiki.corp/", &["10.1.0.4"], Ok("10.1.0.4:80")),
        ("http://wiki.corp/", &["10.2.0.4"], Err("name")),
        ("http://wiki.corp/", &["93.184.215.14"], Err("name")),
        ("http://wiki.corp/", &["10.1.0.4", "93.184.215.14"], Err("name")),
        ("http://wiki.corp/", &[], Err("name")),
        ("http://metadata.google.internal/", &["169.254.169.254"], Err("name")),
        // Public names may mix, but not past the rule.
        ("http://example.com/", &["10.1.0.4"], Ok("10.1.0.4:80")),
        ("http://example.com:5432/", &["10.1.0.4"], Ok("10.1.0.4:5432")),
        ("http://example.com:5432/", &["93.184.215.14"], Err("port")),
        ("http://example.com:5432/", &["10.1.0.4", "93.184.215.14"], Err("port")),
        ("http://example.com/", &["10.1.0.4", "10.2.0.4"], Err("address")),
        ("http://example.com:22/", &[], Err("unresolved")),
        // What is wrong with the text stays wrong.
        ("http://user@127.0.0.1/", &[], Err("credentials")),
        ("file:///etc/passwd", &[], Err("scheme")),
        ("http://127.0.0.1\t/", &[], Err("malformed")),
        ("http://localhost../", &[], Err("malformed")),
    ];
    for (text, resolved, expected) in cases {
        let found = dial(&policy, text, resolved);
        let expected = expected.map(|address| vec![address.to_owned()]);
        assert_eq!(found, expected, "{text} at {resolved:?}");
    }
    let mixed = dial(&policy, "http://example.com/", &["10.1.0.4", "93.184.215.14"]);
    assert_eq!(mixed, Ok(vec!["10.1.0.4:80".to_owned(), "93.184.215.14:80".to_owned()]));
}

#[test]
fn allowing_all_of_ipv6_does_not_open_ipv4() {
    let policy = allowing(&["::/0"]);
    assert_eq!(dial(&policy, "http://[::1]:22/", &[]), Ok(vec!["[::1]:22".to_owned()]));
    assert_eq!(dial(&policy, "http://[::ffff:127.0.0.1]/", &[]), Err("address"));
    assert_eq!(dial(&policy, "http://127.0.0.1/", &[]), Err("address"));
}

#[test]
fn a_proxy_is_asked_for_hosts_and_ports() {
    let policy = EgressPolicy::default();
    let cases: &[(&str, u16, Result<&str, &str>)] = &[
        ("example.com", 443, Ok("example.com")),
        ("EXAMPLE.com.", 443, Ok("example.com")),
        ("[2606:4700::1]", 443, Ok("[2606:4700::1]")),
        ("example.com", 25, Err("port")),
        ("example.com", 0, Err("port")),
        ("127.0.0.1", 443, Err("address")),
        ("0x7f.1", 443, Err("address")),
        ("127%2e0.0.1", 443, Err("address")),
        ("[::1]", 443, Err("address")),
        ("::1", 443, Err("malformed")),
        ("[::1%25lo]", 443, Err("malformed")),
        ("localhost", 443, Err("name")),
        ("metadata.google.internal", 80, Err("name")),
        ("user@example.com", 443, Err("credentials")),
        ("example.com/", 443, Err("malformed")),
        ("example.com:80", 443, Err("malformed")),
        ("example.com\\", 443, Err("malformed")),
        ("exam\tple.com", 443, Err("malformed")),
        ("example.com\r\nX: y", 443, Err("malformed")),
        ("example .com", 443, Err("malformed")),
        ("", 443, Err("malformed")),
    ];
    for (host, port, expected) in cases {
        let found = policy.authority(host, *port).map(|target| target.host().to_string()).map_err(Refused::why);
        assert_eq!(found, expected.map(str::to_owned), "{host}:{port}");
    }
}

#[test]
fn a_redirect_is_judged_without_its_text() {
    let policy = EgressPolicy::default();
    let here = Url::parse("https://example.com/a/b").expect("a URL");
    let hops = [
        ("/c", Ok(())),
        ("//example.org/", Ok(())),
        ("http://127.0.0.1/", Err("address")),
        ("//localhost/", Err("name")),
        ("\\\\127.0.0.1\\", Err("address")),
        ("file:///etc/passwd", Err("scheme")),
        ("//user:secret@example.org/", Err("credentials")),
        ("http://example.org:22/", Err("port")),
    ];
    for (location, expected) in hops {
        let next = here.join(location).expect("a URL");
        assert_eq!(policy.target(&next).map(|_| ()).map_err(Refused::why), expected, "{location}");
    }
}

#[test]
fn names_are_as_long_as_dns_has_them() {
    let policy = EgressPolicy::default();
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    assert!(policy.authority(&longest, 443).is_ok());
    assert!(policy.authority(&format!("{longest}."), 443).is_ok());
    assert_eq!(policy.authority(&format!("{longest}b"), 443), Err(Refused::Malformed));
    assert_eq!(policy.authority(&format!("{label}a.com"), 443), Err(Refused::Malformed));
}

#[test]
fn a_client_never_learns_what_a_name_resolved_to() {
    let policy = EgressPolicy::default();
    let target = ask(&policy, "https://example.com/").expect("public");
    let texts: Vec<String> = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "64:ff9b::a00:1", "168.63.129.16"]
        .iter()
        .map(|address| target.admit(&policy, &addresses(&[address])).expect_err("not public").to_string())
        .collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert!(texts[0].starts_with("blocked by the egress policy: ") && texts[0].contains("--allow-net"), "{}", texts[0]);
    // With an allow list, a private name that exists reads like one that does not.
    let policy = allowing(&["10.1.0.0/16"]);
    let target = ask(&policy, "http://wiki.corp/").expect("to be resolved");
    assert_eq!(target.admit(&policy, &[]), target.admit(&policy, &addresses(&["10.2.0.1"])));
}

proptest! {
    /// Whatever is written, nothing gets an address admitted that is not public.
    #[test]
    fn no_text_reaches_a_private_address(text in "\\PC{0,24}", resolved: u32) {
        let policy = EgressPolicy::default();
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(resolved));
        for text in [text.clone(), format!("http://{text}"), format!("https://{text}/x")] {
            let Ok(target) = ask(&policy, &text) else { continue };
            let asked = target.literal().unwrap_or(address);
            let public = super::address::why_not_global(asked).is_none();
            prop_assert_eq!(target.admit(&policy, &[asked]).is_ok(), public, "{} is {:?}", text, target);
        }
    }

    /// However an IPv4 address is spelled, it is judged as what it is.
    #[test]
    fn spellings_of_an_address_are_one(bits: u32) {
        let policy = EgressPolicy::default();
        let address = std::net::Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets();
        let low = bits & 0x00ff_ffff;
        let plain = ask(&policy, &format!("http://{address}/")).map(|target| target.host().clone());
        let expected = match super::address::why_not_global(address.into()) {
            None => Ok(Host::Ipv4(address)),
            Some(special) => Err(Refused::Address(special)),
        };
        prop_assert_eq!(&plain, &expected);
        for host in [
            format!("{bits}"), format!("{bits:#x}"), format!("0{bits:o}"),
            format!("{a}.{low}"), format!("{a:#x}.0{b:o}.{c}.{d:#x}"),
            format!("{a}。{b}．{c}｡{d}"), format!("{a}%2e{b}%2E{c}.{d}."),
        ] {
            prop_assert_eq!(&ask(&policy, &format!("http://{host}/")).map(|target| target.host().clone()), &expected, "{}", host);
        }
    }
}

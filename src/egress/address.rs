//! Which addresses belong to the public internet, and which range takes the others out of it.
//!
//! After the special-purpose registries of IANA, with these decisions:
//! - IPv6 is an allow list: only 2000::/3 has ever been given out, all else is refused without a name.
//! - An IPv6 form that carries an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo) is refused
//!   whatever it carries: where it ends up is decided by a translator that we do not see, and no public host needs
//!   one. ISATAP may stand under any prefix, so there the carried address decides.
//! - 192.0.0.0/24 and 2001::/23 are refused whole. The few anycast services in them that are global have no pages.
//! - The AS112 and AMT ranges stay global, as the registry has them.
//! - Azure's 168.63.129.16 looks public and is the host under a virtual machine. The metadata services of the other
//!   clouds are in link-local, shared, protocol or private ranges and need no line of their own.
//!
//! A translation prefix that a network took from its own public range cannot be told from any other address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    /// "This network", and no address at all.
    Unspecified,
    /// This machine.
    Loopback,
    /// A private network, also under its older names unique-local and site-local.
    Private,
    /// Between a provider and its customers.
    Shared,
    /// The cable it is plugged in; where clouds keep their metadata.
    LinkLocal,
    /// The host below a virtual machine.
    Platform,
    /// Set aside for protocols.
    Protocol,
    /// For examples in texts.
    Documentation,
    /// For measuring equipment.
    Benchmark,
    /// It carries an IPv4 address that something else unpacks.
    Embedding,
    /// To many at once.
    Multicast,
    /// Never given out.
    Reserved,
}

/// The range that takes `address` out of the public internet, if one does.
pub(crate) fn why_not_global(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let bits = address.to_bits();
    RANGES_V4
        .iter()
        .find(|(first, length, _)| (bits ^ u32::from_be_bytes(*first)) >> (32 - length) == 0)
        .map(|(_, _, special)| *special)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let bits = address.to_bits();
    RANGES_V6
        .iter()
        .find(|(first, length, _)| (bits ^ first.to_bits()) >> (128 - length) == 0)
        .map(|(_, _, special)| *special)
        .or_else(|| (bits >> 125 != 0b001).then_some(Special::Reserved))
        .or_else(|| isatap(address).and_then(special_v4).map(|_| Special::Embedding))
}

/// The IPv4 address that an ISATAP interface identifier carries. Both values of its universal bit are in use.
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, _, _, 0x0000 | 0x0200, 0x5efe, high, low] = address.segments() else { return None };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// First address, length of the prefix, why. The first that matches counts, so what lies inside another comes before it.
const RANGES_V4: [([u8; 4], u32, Special); 17] = [
    ([0, 0, 0, 0], 8, Special::Unspecified),
    ([10, 0, 0, 0], 8, Special::Private),
    ([100, 64, 0, 0], 10, Special::Shared),
    ([127, 0, 0, 0], 8, Special::Loopback),
    ([168, 63, 129, 16], 32, Special::Platform),
    ([169, 254, 0, 0], 16, Special::LinkLocal),
    ([172, 16, 0, 0], 12, Special::Private),
    ([192, 0, 0, 0], 24, Special::Protocol),
    ([192, 0, 2, 0], 24, Special::Documentation),
    // The relays of 6to4, withdrawn.
    ([192, 88, 99, 0], 24, Special::Protocol),
    ([192, 168, 0, 0], 16, Special::Private),
    ([198, 18, 0, 0], 15, Special::Benchmark),
    ([198, 51, 100, 0], 24, Special::Documentation),
    ([203, 0, 113, 0], 24, Special::Documentation),
    ([224, 0, 0, 0], 4, Special::Multicast),
    // Broadcast is to all of the network, which is many at once.
    ([255, 255, 255, 255], 32, Special::Multicast),
    ([240, 0, 0, 0], 4, Special::Reserved),
];

/// As above.
const RANGES_V6: [(Ipv6Addr, u32, Special); 21] = [
    (Ipv6Addr::UNSPECIFIED, 128, Special::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Special::Loopback),
    // IPv4-mapped, IPv4-translated and IPv4-compatible.
    (v6(0, 0, 0, 0, 0, 0xffff), 96, Special::Embedding),
    (v6(0, 0, 0, 0, 0xffff, 0), 96, Special::Embedding),
    (v6(0, 0, 0, 0, 0, 0), 96, Special::Embedding),
    // NAT64, well-known and local.
    (v6(0x64, 0xff9b, 0, 0, 0, 0), 96, Special::Embedding),
    (v6(0x64, 0xff9b, 1, 0, 0, 0), 48, Special::Embedding),
    // To be discarded, and the prefix of dummies.
    (v6(0x100, 0, 0, 0, 0, 0), 64, Special::Protocol),
    (v6(0x100, 0, 0, 1, 0, 0), 64, Special::Protocol),
    // Teredo: its server in the second quarter, its client inverted in the last.
    (v6(0x2001, 0, 0, 0, 0, 0), 32, Special::Embedding),
    (v6(0x2001, 2, 0, 0, 0, 0), 48, Special::Benchmark),
    // ORCHID, of old and now, are in here.
    (v6(0x2001, 0, 0, 0, 0, 0), 23, Special::Protocol),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0), 32, Special::Documentation),
    // 6to4.
    (v6(0x2002, 0, 0, 0, 0, 0), 16, Special::Embedding),
    // The 6bone, given back in 2006.
    (v6(0x3ffe, 0, 0, 0, 0, 0), 16, Special::Reserved),
    (v6(0x3fff, 0, 0, 0, 0, 0), 20, Special::Documentation),
    // Segment routing.
    (v6(0x5f00, 0, 0, 0, 0, 0), 16, Special::Protocol),
    // Unique-local.
    (v6(0xfc00, 0, 0, 0, 0, 0), 7, Special::Private),
    (v6(0xfe80, 0, 0, 0, 0, 0), 10, Special::LinkLocal),
    // Site-local.
    (v6(0xfec0, 0, 0, 0, 0, 0), 10, Special::Private),
    (v6(0xff00, 0, 0, 0, 0, 0), 8, Special::Multicast),
];

/// An address by its first six groups.
const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, 0, 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Special::*;
    use super::*;

    fn of(address: &str) -> Option<Special> {
        why_not_global(address.parse().expect("an address"))
    }

    /// First and last address of a range with what it is; then what the addresses just before and after it are.
    type Edge = (&'static str, &'static str, Special, Option<Special>, Option<Special>);

    const EDGES: &[Edge] = &[
        ("0.0.0.0", "0.255.255.255", Unspecified, None, None),
        ("10.0.0.0", "10.255.255.255", Private, None, None),
        ("100.64.0.0", "100.127.255.255", Shared, None, None),
        ("127.0.0.0", "127.255.255.255", Loopback, None, None),
        ("168.63.129.16", "168.63.129.16", Platform, None, None),
        ("169.254.0.0", "169.254.255.255", LinkLocal, None, None),
        ("172.16.0.0", "172.31.255.255", Private, None, None),
        ("192.0.0.0", "192.0.0.255", Protocol, None, None),
        ("192.0.2.0", "192.0.2.255", Documentation, None, None),
        ("192.88.99.0", "192.88.99.255", Protocol, None, None),
        ("192.168.0.0", "192.168.255.255", Private, None, None),
        ("198.18.0.0", "198.19.255.255", Benchmark, None, None),
        ("198.51.100.0", "198.51.100.255", Documentation, None, None),
        ("203.0.113.0", "203.0.113.255", Documentation, None, None),
        ("224.0.0.0", "239.255.255.255", Multicast, None, Some(Reserved)),
        ("240.0.0.0", "255.255.255.254", Reserved, Some(Multicast), Some(Multicast)),
        ("255.255.255.255", "255.255.255.255", Multicast, Some(Reserved), None),
        ("::", "::", Unspecified, None, Some(Loopback)),
        ("::1", "::1", Loopback, Some(Unspecified), Some(Embedding)),
        ("::2", "::ffff:ffff", Embedding, Some(Loopback), Some(Reserved)),
        ("::ffff:0:0", "::ffff:ffff:ffff", Embedding, Some(Reserved), Some(Reserved)),
        ("::ffff:0:0:0", "::ffff:0:ffff:ffff", Embedding, Some(Reserved), Some(Reserved)),
        ("64:ff9b::", "64:ff9b::ffff:ffff", Embedding, Some(Reserved), Some(Reserved)),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Embedding, Some(Reserved), Some(Reserved)),
        ("100::", "100::1:ffff:ffff:ffff:ffff", Protocol, Some(Reserved), Some(Reserved)),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Embedding, None, Some(Protocol)),
        ("2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Protocol, Some(Embedding), Some(Benchmark)),
        ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Benchmark, Some(Protocol), Some(Protocol)),
        ("2001:2:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Protocol, Some(Benchmark), None),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Documentation, None, None),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Embedding, None, None),
        ("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, None, Some(Documentation)),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Documentation, Some(Reserved), None),
        ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, None, Some(Protocol)),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Protocol, Some(Reserved), Some(Reserved)),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private, Some(Reserved), Some(Reserved)),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LinkLocal, Some(Reserved), Some(Private)),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private, Some(LinkLocal), Some(Multicast)),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast, Some(Private), None),
    ];

    /// The address before or after, if there is one.
    fn beside(address: &str, after: bool) -> Option<IpAddr> {
        match address.parse().expect("an address") {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let bits = if after { bits.checked_add(1) } else { bits.checked_sub(1) };
                bits.map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let bits = if after { bits.checked_add(1) } else { bits.checked_sub(1) };
                bits.map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        }
    }

    #[test]
    fn every_range_begins_and_ends_where_the_registry_says() {
        for &(first, last, special, before, after) in EDGES {
            assert_eq!(of(first), Some(special), "{first}");
            assert_eq!(of(last), Some(special), "{last}");
            assert_eq!(beside(first, false).and_then(why_not_global), before, "before {first}");
            assert_eq!(beside(last, true).and_then(why_not_global), after, "after {last}");
        }
    }

    #[test]
    fn every_line_of_the_tables_is_reached_and_has_no_bits_past_its_prefix() {
        for (first, length, special) in RANGES_V4 {
            assert_eq!(special_v4(first.into()), Some(special), "{first:?}/{length}");
            assert_eq!(u32::from_be_bytes(first).checked_shl(length).unwrap_or(0), 0, "{first:?}/{length}");
        }
        for (first, length, special) in RANGES_V6 {
            // Inside 2001::/23, and in the low block, the first address is that of a narrower line.
            let narrower = length == 23 || (first == Ipv6Addr::UNSPECIFIED && length == 96);
            assert!(narrower || special_v6(first) == Some(special), "{first}/{length}");
            assert_eq!(first.to_bits().checked_shl(length).unwrap_or(0), 0, "{first}/{length}");
        }
    }

    #[test]
    fn public_hosts_are_global() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.215.14",
            "168.63.129.15",
            "192.31.196.1",
            "192.52.193.1",
            "192.175.48.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2620:4f:8000::1",
            "2a00:1450:4001:82a::200e",
            // ISATAP that carries a public address, and what only looks like ISATAP.
            "2606:4700::5efe:808:808",
            "2606:4700::1:5efe:a00:1",
        ];
        for address in public {
            assert_eq!(of(address), None, "{address}");
        }
    }

    #[test]
    fn metadata_services_are_not() {
        let services = [
            ("169.254.169.254", LinkLocal),
            ("169.254.170.2", LinkLocal),
            ("100.100.100.200", Shared),
            ("192.0.0.192", Protocol),
            ("168.63.129.16", Platform),
            ("fd00:ec2::254", Private),
            ("fd20:ce::254", Private),
            ("::ffff:169.254.169.254", Embedding),
            ("64:ff9b::a9fe:a9fe", Embedding),
            ("2002:a9fe:a9fe::", Embedding),
        ];
        for (address, special) in services {
            assert_eq!(of(address), Some(special), "{address}");
        }
    }

    /// Every IPv6 form that carries `inner`, under a prefix and with neighbours of any kind.
    fn forms(inner: Ipv4Addr, noise: u128, prefix: u64) -> Vec<Ipv6Addr> {
        let inner = u128::from(inner.to_bits());
        let low = noise & 0xffff_ffff;
        let nat64 = 0x64_ff9b_u128 << 96;
        let local = nat64 | 1 << 80;
        let public = 0b001 << 125 | u128::from(prefix >> 3) << 64;
        // A local translation prefix of 48 bits leaves eight zero bits in the middle of the address it carries.
        let split = (inner >> 16) << 64 | (inner & 0xffff) << 40;
        [
            inner,
            0xffff << 32 | inner,
            0xffff << 48 | inner,
            nat64 | inner,
            local | inner,
            local | split,
            local | (noise & 0xffff) << 64 | inner,
            0x2002 << 112 | inner << 80 | noise >> 48,
            0x2001_0000 << 96 | inner << 64 | noise >> 64,
            0x2001_0000 << 96 | (noise >> 96) << 64 | low << 32 | (inner ^ 0xffff_ffff),
            public | 0x0000_5efe << 32 | inner,
            public | 0x0200_5efe << 32 | inner,
        ]
        .map(Ipv6Addr::from_bits)
        .to_vec()
    }

    fn private() -> impl Strategy<Value = Ipv4Addr> {
        (0..RANGES_V4.len(), any::<u32>()).prop_map(|(index, noise)| {
            let (first, length, _) = RANGES_V4[index];
            Ipv4Addr::from_bits(u32::from_be_bytes(first) | noise.checked_shr(length).unwrap_or(0))
        })
    }

    proptest! {
        #[test]
        fn a_private_address_is_refused_in_every_form(inner in private(), noise: u128, prefix: u64) {
            prop_assert!(special_v4(inner).is_some(), "{inner}");
            for form in forms(inner, noise, prefix) {
                prop_assert!(special_v6(form).is_some(), "{form} carries {inner}");
            }
        }

        #[test]
        fn nothing_that_the_standard_library_calls_special_is_global(bits: u32, six: u128) {
            let four = Ipv4Addr::from_bits(bits);
            let special = four.is_private() || four.is_loopback() || four.is_link_local() || four.is_broadcast()
                || four.is_documentation() || four.is_multicast() || four.is_unspecified();
            prop_assert!(!special || special_v4(four).is_some(), "{four}");
            let six = Ipv6Addr::from_bits(six);
            let special = six.is_multicast() || six.is_unique_local() || six.is_unicast_link_local()
                || six.to_ipv4().is_some();
            prop_assert!(!special || special_v6(six).is_some(), "{six}");
        }

        #[test]
        fn only_what_has_been_given_out_is_global(six: u128) {
            let six = Ipv6Addr::from_bits(six);
            prop_assert!(six.to_bits() >> 125 == 1 || special_v6(six).is_some(), "{six}");
        }
    }
}

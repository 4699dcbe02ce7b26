//! What a site says of its own pages: sitemaps and indexes of sitemaps, as XML or as one address a line, plain or gzip.
//!
//! A document that declares a type is refused: nothing that could be declared there belongs here, and entities that grow do.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::Event;

/// What a sitemap says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sitemap {
    /// Pages.
    pub(crate) pages: Vec<String>,
    /// More sitemaps.
    pub(crate) maps: Vec<String>,
}

/// Why there is nothing to be learned from one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SitemapError {
    #[error("it is larger than {0} bytes, decompressed")]
    TooLarge(u64),
    #[error("it is sent as gzip, but broken")]
    Gzip,
    #[error("it declares a document type, which is not read")]
    Doctype,
    #[error("it is no sitemap: {0}")]
    Malformed(String),
}

/// Addresses of one sitemap; the protocol allows as many.
const MOST: usize = 50_000;
/// Sitemaps that one robots.txt names, and bytes that are looked at for them.
const NAMED: usize = 50;
const LOOKED_AT: usize = 500 << 10;

/// The sitemaps that a robots.txt names. They are nobody's in particular, whichever group they stand in.
pub(crate) fn named(robots: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(&robots[..robots.len().min(LOOKED_AT)]);
    let text = text.trim_start_matches('\u{feff}');
    let address = |line: &str| {
        let (name, value) = line.split('#').next()?.split_once(':')?;
        name.trim().eq_ignore_ascii_case("sitemap").then(|| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    text.split(['\n', '\r']).filter_map(address).take(NAMED).collect()
}

impl Sitemap {
    /// Reads a sitemap, of `max_bytes` at most.
    pub(crate) fn parse(bytes: &[u8], max_bytes: u64) -> Result<Self, SitemapError> {
        let mut plain = Vec::new();
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
            let read = MultiGzDecoder::new(bytes).take(max_bytes + 1).read_to_end(&mut plain);
            read.map_err(|_| SitemapError::Gzip)?;
            &plain[..]
        } else {
            bytes
        };
        if bytes.len() as u64 > max_bytes {
            return Err(SitemapError::TooLarge(max_bytes));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii_start().first() == Some(&b'<') { Self::xml(bytes) } else { Self::lines(bytes) }
    }

    fn lines(bytes: &[u8]) -> Result<Self, SitemapError> {
        let text = str::from_utf8(bytes).map_err(|_| SitemapError::Malformed("neither XML nor text".to_owned()))?;
        let pages: Vec<_> = text.lines().map(str::trim).filter(|line| line.starts_with("http")).take(MOST).collect();
        Ok(Self { pages: pages.into_iter().map(str::to_owned).collect(), maps: Vec::new() })
    }

    fn xml(bytes: &[u8]) -> Result<Self, SitemapError> {
        let mut reader = Reader::from_reader(bytes);
        let mut found = Self::default();
        // The element around, and what stands in `loc`.
        let (mut of_map, mut address) = (false, None::<String>);
        loop {
            match reader.read_event().map_err(|error| SitemapError::Malformed(error.to_string()))? {
                Event::DocType(_) => return Err(SitemapError::Doctype),
                Event::Start(tag) => match tag.local_name().as_ref() {
                    b"sitemap" => of_map = true,
                    b"url" => of_map = false,
                    // Images and videos have addresses of their own, in other namespaces.
                    b"loc" if tag.name().prefix().is_none() => address = Some(String::new()),
                    _ => {}
                },
                Event::Text(text) => {
                    if let (Some(address), Ok(text)) = (&mut address, text.decode()) {
                        address.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let (Some(address), Ok(text)) = (&mut address, text.decode()) {
                        address.push_str(&text);
                    }
                }
                Event::GeneralRef(entity) => {
                    if let Some(address) = &mut address {
                        let known = match (entity.resolve_char_ref(), &*entity) {
                            (Ok(Some(character)), _) => Some(character),
                            (_, b"amp") => Some('&'),
                            (_, b"lt") => Some('<'),
                            (_, b"gt") => Some('>'),
                            (_, b"quot") => Some('"'),
                            (_, b"apos") => Some('\''),
                            (_, _) => None,
                        };
                        address.extend(known);
                    }
                }
                Event::End(tag) => {
                    if tag.local_name().as_ref() == b"loc"
                        && let Some(address) = address.take()
                    {
                        let list = if of_map { &mut found.maps } else { &mut found.pages };
                        list.push(address.trim().to_owned());
                        if list.len() >= MOST {
                            return Ok(found);
                        }
                    }
                }
                Event::Eof => return Ok(found),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn sitemaps_and_indexes_are_read() {
        let map = br#"<?xml version="1.0"?><urlset xmlns="x" xmlns:image="y"><url><loc> http://a.b/?x=1&amp;y=2 </loc>
            <image:image><image:loc>http://a.b/i.png</image:loc></image:image></url>
            <url><loc><![CDATA[http://a.b/2]]></loc><priority>1</priority></url></urlset>"#;
        let found = Sitemap::parse(map, LIMIT).expect("it is one");
        assert_eq!(found.pages, ["http://a.b/?x=1&y=2", "http://a.b/2"]);
        let index = b"<sitemapindex><sitemap><loc>http://a.b/1.xml.gz</loc></sitemap></sitemapindex>";
        assert_eq!(Sitemap::parse(index, LIMIT).expect("it is one").maps, ["http://a.b/1.xml.gz"]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(map).expect("writes");
        assert_eq!(Sitemap::parse(&gzip.finish().expect("ends"), LIMIT), Ok(found));
        assert_eq!(Sitemap::parse(b"http://a.b/1\n\nhttp://a.b/2\n", LIMIT).expect("it is one").pages.len(), 2);
    }

    #[test]
    fn a_robots_txt_names_sitemaps() {
        let robots =
            "\u{feff}Sitemap: https://a.b/1.xml\r\nUser-agent: x\nDisallow: /\nsitemap : http://a.b/2.xml # old\nSitemap:\n";
        assert_eq!(named(robots.as_bytes()), ["https://a.b/1.xml", "http://a.b/2.xml"]);
        assert_eq!(named(b"<html>no such thing: sitemap</html>\xff"), Vec::<String>::new());
        assert_eq!(named("Sitemap: http://a.b/x\n".repeat(1_000).as_bytes()).len(), NAMED);
    }

    #[test]
    fn what_would_do_harm_is_refused() {
        let bomb = br#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>"#;
        assert_eq!(Sitemap::parse(bomb, LIMIT), Err(SitemapError::Doctype));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![b' '; 4 << 20]).expect("writes");
        assert_eq!(Sitemap::parse(&gzip.finish().expect("ends"), LIMIT), Err(SitemapError::TooLarge(LIMIT)));
        assert_eq!(Sitemap::parse(&[0x1f, 0x8b, 0, 0], LIMIT), Err(SitemapError::Gzip));
        assert!(matches!(Sitemap::parse(b"<urlset><url></loc>", LIMIT), Err(SitemapError::Malformed(_))));
        assert!(matches!(Sitemap::parse(b"\xff\xfe\x00", LIMIT), Err(SitemapError::Malformed(_))));
    }
}

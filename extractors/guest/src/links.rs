//! Addresses: resolved against the page's base, and collected.

use std::collections::HashSet;

use html5ever::local_name;
use url::Url;

use crate::document::{Image, Link};
use crate::dom::NodeData;
use crate::dom::{Dom, NodeId};
use crate::text::{collapsed, push_collapsed};

/// What relative addresses are resolved against: `<base href>`, itself resolved against the page's address.
#[derive(Debug)]
pub(crate) struct Base(Option<Url>);

impl Base {
    pub(crate) fn of(dom: &Dom, page: Option<&str>) -> Self {
        // An address that nothing can be relative to is as good as none.
        let usable = |url: &Url| !url.cannot_be_a_base();
        let page = page.and_then(|page| Url::parse(page).ok()).filter(usable);
        let declared = dom
            .find(NodeId::DOCUMENT, &local_name!("base"))
            .and_then(|base| dom.attribute(base, &local_name!("href")))
            .and_then(|href| Url::options().base_url(page.as_ref()).parse(href.trim()).ok())
            .filter(usable);
        Self(declared.or(page))
    }

    /// The absolute form of an address that leads somewhere. `None` for scripts, data and other dead ends.
    pub(crate) fn resolve(&self, address: &str) -> Option<String> {
        let address = address.trim();
        if address.is_empty() {
            return None;
        }
        match Url::options().base_url(self.0.as_ref()).parse(address) {
            Ok(url) => match url.scheme() {
                "javascript" | "data" | "about" | "blob" => None,
                _ => Some(url.into()),
            },
            // Nothing to resolve it against: as it stands is the best there is.
            Err(url::ParseError::RelativeUrlWithoutBase) => Some(address.replace(['\t', '\r', '\n'], "")),
            Err(_) => None,
        }
    }
}

/// The links below `root`, each address once, in document order.
pub(crate) fn links(dom: &Dom, root: NodeId, base: &Base) -> Vec<Link> {
    let mut seen = HashSet::new();
    let mut links = Vec::new();
    for id in dom.walk(root, |_| true) {
        if dom.html_name(id) != Some(&local_name!("a")) {
            continue;
        }
        let Some(href) = dom.attribute(id, &local_name!("href")).and_then(|href| base.resolve(href)) else {
            continue;
        };
        if !seen.insert(href.clone()) {
            continue;
        }
        let mut text = String::new();
        for inner in dom.walk(id, |_| true) {
            match dom.data(inner) {
                NodeData::Text(part) => push_collapsed(&mut text, part),
                NodeData::Element(element) if element.html_name() == Some(&local_name!("img")) => {
                    if let Some(alt) = element.attribute(&local_name!("alt")) {
                        push_collapsed(&mut text, alt);
                    }
                }
                NodeData::Element(_) | NodeData::Fragment | NodeData::Nothing => {}
            }
        }
        text.truncate(text.trim_end().len());
        let rel = dom.attribute(id, &local_name!("rel")).map(collapsed).filter(|rel| !rel.is_empty());
        links.push(Link { href, text, rel });
    }
    links
}

/// The address of an image: lazy loaders keep the real one beside a placeholder.
pub(crate) fn image(dom: &Dom, id: NodeId, base: &Base) -> Option<Image> {
    let element = dom.element(id)?;
    let mut candidates: [Option<&str>; 5] = [None; 5];
    for (name, value) in element.attributes() {
        let place = match name {
            "data-src" => 0,
            "data-lazy-src" | "data-original" => 1,
            "src" => 2,
            "data-srcset" => 3,
            "srcset" => 4,
            _ => continue,
        };
        let value = if place >= 3 { widest(value) } else { value };
        candidates[place] = Some(value);
    }
    let src = candidates.iter().flatten().find_map(|address| base.resolve(address))?;
    let alt = collapsed(element.attribute(&local_name!("alt")).unwrap_or_default());
    Some(Image { src, alt })
}

/// The address in a `srcset` with the largest descriptor.
fn widest(srcset: &str) -> &str {
    let mut best = ("", -1.0f32);
    for candidate in srcset.split(", ") {
        let mut parts = candidate.split_whitespace();
        let address = parts.next().unwrap_or_default().trim_end_matches(',');
        let size = parts.next().and_then(|size| size.trim_end_matches(['w', 'x', ',']).parse().ok()).unwrap_or(0.0);
        if size > best.1 {
            best = (address, size);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn hrefs(page: &str, base: Option<&str>) -> Vec<String> {
        let dom = parse(page.into());
        let base = Base::of(&dom, base);
        links(&dom, NodeId::DOCUMENT, &base).into_iter().map(|link| link.href).collect()
    }

    #[test]
    fn addresses_become_absolute() {
        let page = "<a href=/a>x</a><a href='b c'>y</a><a href=//other.example/>z</a><a href='#part'>w</a>";
        assert_eq!(
            hrefs(page, Some("https://example.com/dir/page")),
            [
                "https://example.com/a",
                "https://example.com/dir/b%20c",
                "https://other.example/",
                "https://example.com/dir/page#part"
            ]
        );
        assert_eq!(hrefs("<base href=/sub/><a href=x>", Some("https://example.com/dir/page")), ["https://example.com/sub/x"]);
        assert_eq!(hrefs("<a href=x>", None), ["x"]);
        assert_eq!(hrefs("<a href=x>", Some("mailto:me@example.com")), ["x"]);
        assert_eq!(hrefs("<a href=x>", Some("no base")), ["x"]);
    }

    #[test]
    fn dead_ends_and_repeats_are_left_out() {
        let page = "<a href='javascript:x()'>1</a><a href='data:text/plain,x'>2</a><a>3</a><a href=' '>4</a><a href='http://['>5</a>\
            <a href=/a>6</a><a href=/a>7</a><a href=mailto:me@example.com>8</a>";
        assert_eq!(hrefs(page, Some("https://example.com/")), ["https://example.com/a", "mailto:me@example.com"]);
    }

    #[test]
    fn a_link_reads_as_its_text_and_pictures() {
        let dom = parse("<a href=/a rel=' next  nofollow'> one <img alt=two> <b>three</b> </a>".into());
        let found = links(&dom, NodeId::DOCUMENT, &Base(None));
        assert_eq!(found[0].text, "one two three");
        assert_eq!(found[0].rel.as_deref(), Some("next nofollow"));
    }

    #[test]
    fn lazy_images_have_their_real_address() {
        let page =
            "<img src='data:image/gif;base64,AAAA' data-src=/real.jpg alt=' a  b '><img srcset='/s.jpg 100w, /l.jpg 900w'>";
        let dom = parse(page.into());
        let base = Base::of(&dom, Some("https://example.com/"));
        let images: Vec<_> = dom.walk(NodeId::DOCUMENT, |_| true).filter_map(|id| image(&dom, id, &base)).collect();
        assert_eq!(images[0], Image { src: "https://example.com/real.jpg".into(), alt: "a b".into() });
        assert_eq!(images[1].src, "https://example.com/l.jpg");
    }
}

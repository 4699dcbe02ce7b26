//! Pages of a given size, made by a seed: navigation, article, tables, lists, code, comments, scripts, styles.

use std::fmt::Write;

use fastrand::Rng;

const WORDS: &str = "river weir heron bank stone mill water bridge morning light slow deep narrow field road village market \
    garden winter summer harvest letter answer question number window paper engine valley north south early late always \
    never often between under over across along after before because although while where which their other small large \
    quiet open closed first second third new old good clear cold warm green grey white long short high low";

/// The sizes that are measured, in bytes.
pub(crate) const SIZES: [(&str, usize); 5] =
    [("1 KB", 1_000), ("10 KB", 10_000), ("50 KB", 50_000), ("100 KB", 100_000), ("500 KB", 500_000)];

struct Maker {
    rng: Rng,
    words: Vec<&'static str>,
    page: String,
}

/// A page of about `size` bytes.
pub(crate) fn page(size: usize, seed: u64) -> String {
    let mut maker = Maker { rng: Rng::with_seed(seed), words: WORDS.split_whitespace().collect(), page: String::new() };
    maker.head(size);
    while maker.page.len() + 200 < size {
        maker.block(size);
    }
    maker.foot(size);
    maker.page
}

impl Maker {
    fn put(&mut self, text: &str) {
        self.page.push_str(text);
    }

    fn some(&mut self, count: usize) -> String {
        let words: Vec<&str> = (0..count).map(|_| self.words[self.rng.usize(..self.words.len())]).collect();
        words.join(" ")
    }

    fn sentence(&mut self) -> String {
        let (first, second) = (self.rng.usize(4..12), self.rng.usize(3..9));
        let mut text = self.some(first) + ", " + &self.some(second);
        if self.rng.u8(..6) == 0 {
            let (count, number) = (self.rng.usize(1..4), self.rng.u16(..));
            let _ = write!(text, " <a href=\"/wiki/{number}\" class=\"ref\">{}</a>", self.some(count));
        }
        if self.rng.u8(..8) == 0 {
            text = text + " <em>" + &self.some(2) + "</em> &amp; more";
        }
        text + ". "
    }

    fn paragraph(&mut self) {
        let count = self.rng.usize(2..6);
        let text: String = (0..count).map(|_| self.sentence()).collect();
        self.put("<p>");
        self.put(&text);
        self.put("</p>\n");
    }

    fn head(&mut self, size: usize) {
        let title = self.some(5);
        self.put("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
        self.put(&title);
        self.put(" | Example</title>\n");
        if size > 4_000 {
            self.put("<meta name=\"description\" content=\"A page\"><meta property=\"og:site_name\" content=\"Example\">\n");
            self.put("<script type=\"application/ld+json\">{\"@type\":\"NewsArticle\",\"headline\":\"A page\",\"author\":{\"name\":\"Jane Doe\"}}</script>\n");
            for number in 0..(size / 4_000).min(60) {
                let _ = writeln!(self.page, "<style>.c{number} .x{{margin:{number}px;color:#a0b0c0;display:flex}}</style>");
            }
        }
        self.put("</head><body>\n<header><nav><ul>");
        for number in 0..(size / 700).clamp(3, 40) {
            let text = self.some(2);
            let _ = write!(self.page, "<li class=\"menu-item\"><a href=\"/{number}\">{text}</a></li>");
        }
        self.put("</ul></nav></header>\n<main><article class=\"post\"><h1>");
        self.put(&title);
        self.put("</h1>\n");
    }

    fn block(&mut self, size: usize) {
        match self.rng.u8(..100) {
            _ if size < 4_000 => self.paragraph(),
            0..70 => self.paragraph(),
            70..78 => {
                let text = self.some(3);
                let _ = writeln!(self.page, "<h2 id=\"s\">{text}</h2>");
            }
            78..84 => {
                let items: String = (0..5).map(|_| format!("<li>{}</li>", self.sentence())).collect();
                let _ = writeln!(self.page, "<ul>{items}</ul>");
            }
            84..89 => {
                let rows: String = (0..6)
                    .map(|_| format!("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", self.some(2), self.some(1), self.some(2)))
                    .collect();
                let _ = writeln!(
                    self.page,
                    "<table><thead><tr><th>a</th><th>b</th><th>c</th></tr></thead><tbody>{rows}</tbody></table>"
                );
            }
            89..93 => {
                let text = self.sentence();
                let _ =
                    writeln!(self.page, "<figure><img src=\"/i.jpg\" alt=\"a picture\"><figcaption>{text}</figcaption></figure>");
            }
            93..95 => {
                let text = self.sentence();
                let _ = writeln!(self.page, "<blockquote><p>{text}</p></blockquote>");
            }
            95..97 => {
                self.put("<pre><code class=\"language-rust\">fn main() {\n    println!(&quot;hello&quot;);\n}\n</code></pre>\n")
            }
            _ => self.put("<script>(function(w){w.k={a:1,b:\"<b>\",c:[1,2,3]};if(w.x<3){w.y=1}})(window);</script>\n"),
        }
    }

    fn foot(&mut self, size: usize) {
        self.put("</article></main>\n");
        if size > 4_000 {
            self.put("<aside class=\"sidebar\"><ul>");
            for number in 0..20 {
                let _ = write!(self.page, "<li><a href=\"/p/{number}\"><img src=\"/{number}.jpg\" alt=\"\">promo</a></li>");
            }
            self.put("</ul></aside>\n");
        }
        self.put("<footer><p>&copy; Example</p></footer></body></html>\n");
    }
}

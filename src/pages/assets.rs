//! The stylesheet and the icon, built into the binary.
//!
//! Their names carry a hash of their content: a browser may keep them for ever, and a new release shows at once,
//! because the pages then name other files.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

/// Where the static files stand.
pub const PREFIX: &str = "/_doorward/static/";

/// `Cache-Control` for every [`Asset`]: what stands under one name never changes (RFC 8246).
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// Bytes of the SHA-256 that go into a name. Enough to tell releases apart; nobody is kept out by it.
const NAME_HASH_BYTES: usize = 8;

const STYLESHEET: Source =
    Source { stem: "doorward", extension: "css", bytes: include_bytes!("../../static/doorward.css") };
const ICON: Source =
    Source { stem: "icon", extension: "svg", bytes: include_bytes!("../../static/icon.svg") };

/// A file that the pages refer to.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Asset {
    /// The content.
    pub bytes: &'static [u8],
    /// The value for `Content-Type`.
    pub content_type: &'static str,
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asset({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

struct Source {
    stem: &'static str,
    extension: &'static str,
    bytes: &'static [u8],
}

impl Source {
    fn path(&self) -> String {
        let hash = digest(&SHA256, self.bytes);
        let short = hash.as_ref().get(..NAME_HASH_BYTES).unwrap_or_default();
        format!("{PREFIX}{}-{}.{}", self.stem, HEXLOWER.encode(short), self.extension)
    }
}

/// The asset at this request path (without query), or `None` when there is none: also for a name of another release,
/// because its content would be cached for ever under a name that promises something else.
#[must_use]
pub fn find(path: &str) -> Option<Asset> {
    if path == stylesheet_path() {
        Some(Asset { bytes: STYLESHEET.bytes, content_type: "text/css; charset=utf-8" })
    } else if path == icon_path() {
        Some(Asset { bytes: ICON.bytes, content_type: "image/svg+xml" })
    } else {
        None
    }
}

/// Where the stylesheet stands: `/_doorward/static/doorward-<hash>.css`.
#[must_use]
pub fn stylesheet_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| STYLESHEET.path())
}

/// Where the icon stands: `/_doorward/static/icon-<hash>.svg`.
#[must_use]
pub fn icon_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| ICON.path())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_asset_is_found_under_its_own_name() {
        let css = find(stylesheet_path()).unwrap();
        assert_eq!(css.content_type, "text/css; charset=utf-8");
        assert_eq!(css.bytes, STYLESHEET.bytes);
        let icon = find(icon_path()).unwrap();
        assert_eq!(icon.content_type, "image/svg+xml");
        assert!(icon.bytes.starts_with(b"<svg "));
    }

    #[test]
    fn a_name_tells_its_content() {
        let one = Source { stem: "a", extension: "css", bytes: b"a {}" };
        let other = Source { stem: "a", extension: "css", bytes: b"b {}" };
        assert_ne!(one.path(), other.path());
        // printf 'a {}' | sha256sum | head -c 16
        assert_eq!(one.path(), "/_doorward/static/a-9a4487ccbedf68e5.css");
    }

    #[test]
    fn nothing_else_is_served() {
        for path in [
            "",
            "/",
            PREFIX,
            "/_doorward/static/doorward.css",
            "/_doorward/static/doorward-0000000000000000.css",
            "/_doorward/static/../static/icon.svg",
        ] {
            assert_eq!(find(path), None, "{path:?}");
        }
    }

    #[test]
    fn the_stylesheet_loads_nothing_from_elsewhere() {
        let css = std::str::from_utf8(STYLESHEET.bytes).unwrap();
        for word in ["@import", "url(", "http:", "https:", "@font-face"] {
            assert!(!css.contains(word), "{word}");
        }
    }

    #[test]
    fn the_icon_runs_nothing_and_needs_no_style_of_its_own() {
        // Served with the same Content-Security-Policy as the pages, inline style would be dropped.
        let svg = std::str::from_utf8(ICON.bytes).unwrap();
        for word in ["<script", "<style", "style=", "href", " on"] {
            assert!(!svg.contains(word), "{word}");
        }
    }

    /// The colours that the stylesheet's n-th `:root` block names; the first is light, the second dark.
    fn palette(n: usize) -> HashMap<&'static str, &'static str> {
        let css = std::str::from_utf8(STYLESHEET.bytes).unwrap();
        let block = css.split(":root {").nth(n + 1).unwrap().split('}').next().unwrap();
        block
            .split(';')
            .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"))
            .filter(|(_, hex)| hex.len() == 6)
            .collect()
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(hex: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    }

    #[test]
    fn text_and_controls_stand_out_as_wcag_aa_asks() {
        let text = [
            ("ink", "paper"),
            ("ink", "sheet"),
            ("ink", "sunken"),
            ("soft", "paper"),
            ("soft", "sheet"),
            ("soft", "sunken"),
            ("link", "paper"),
            ("link", "sheet"),
            ("link", "sunken"),
            ("on-act", "act"),
            ("on-act", "act-over"),
            ("bad", "bad-back"),
            ("bad", "sheet"),
            ("good", "good-back"),
            ("ink", "good-back"),
            ("ink", "note-back"),
        ];
        let shapes =
            [("field", "paper"), ("field", "sheet"), ("ring", "paper"), ("ring", "sheet"), ("act", "paper")];
        let wanted = text.map(|pair| (pair, 4.5)).into_iter().chain(shapes.map(|pair| (pair, 3.0)));
        for ((front, back), least) in wanted {
            for colours in [palette(0), palette(1)] {
                let (one, other) = (luminance(colours[front]), luminance(colours[back]));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= least, "--{front} on --{back}: {contrast:.2}");
            }
        }
    }
}

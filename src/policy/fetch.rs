//! What a browser says of a request by itself: Fetch metadata (W3C Fetch Metadata Request Headers). Pure.
//!
//! Scripts cannot set these headers, and programs do not send them (Node's `fetch` sends the mode, and nothing else).
//! A value that is not known, or a header that came twice, counts as the most dangerous reading.

use http::{HeaderMap, HeaderValue};

/// With this type the `Accept` of a browser on its way to a page begins.
const HTML: &[u8] = b"text/html";

/// Fetch metadata of one request, and what stands in for it in older browsers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FetchMetadata {
    site: Site,
    mode: Mode,
    dest: Dest,
    has_origin: bool,
    accepts_html: bool,
    /// `Accept` is that of a browser on its way to a page.
    prefers_pages: bool,
    is_upgrade: bool,
    is_doubtful: bool,
    is_service_worker: bool,
    is_navigation_preload: bool,
}

/// How the page that made the request stands to this origin (`Sec-Fetch-Site`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Site {
    #[default]
    Absent,
    /// `none`: a person typed the address, or took a bookmark.
    ByPerson,
    /// `cross-site`, or what nobody knows.
    Foreign,
    SameOrigin,
    /// Another port or a sibling of this host (`same-site`).
    Sibling,
}

/// How the answer is used (`Sec-Fetch-Mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mode {
    #[default]
    Absent,
    Navigation,
    /// By a script, or as a part of a page.
    Part,
}

/// What the answer is for (`Sec-Fetch-Dest`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Dest {
    #[default]
    Absent,
    /// A whole window.
    Document,
    /// For a script, such as `fetch()`.
    Empty,
    /// Shown within a page, as a page of its own; also what nobody knows.
    Nested,
    /// A script, a style sheet, an image and the like.
    Part,
}

impl FetchMetadata {
    /// Reads a request's headers, in one pass.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            // Quick no for most headers: this runs for every request.
            if matches!(name.as_str().as_bytes(), [b's', b'e', ..] | [b'a', b'c', ..] | [b'o' | b'u', ..]) {
                found.note(name.as_str(), value);
            }
        }
        found
    }

    fn note(&mut self, name: &str, value: &HeaderValue) {
        let bytes = value.as_bytes();
        match name {
            "accept" => {
                self.accepts_html |= bytes.starts_with(HTML)
                    || bytes.windows(HTML.len()).any(|part| part.eq_ignore_ascii_case(HTML));
                self.prefers_pages |= self.accepts_html && prefers_pages(bytes);
            }
            "origin" => self.is_doubtful |= std::mem::replace(&mut self.has_origin, true),
            "sec-fetch-dest" => {
                self.is_doubtful |= self.dest != Dest::Absent;
                self.is_service_worker |= is_word(bytes, b"serviceworker");
                self.dest = dest(bytes);
            }
            "sec-fetch-mode" => {
                self.is_doubtful |= self.mode != Mode::Absent;
                self.mode = match bytes {
                    b"cors" | b"no-cors" | b"same-origin" | b"websocket" => Mode::Part,
                    _ => Mode::Navigation,
                };
            }
            "sec-fetch-site" => {
                self.is_doubtful |= self.site != Site::Absent;
                self.site = match bytes {
                    b"same-origin" => Site::SameOrigin,
                    b"none" => Site::ByPerson,
                    b"same-site" => Site::Sibling,
                    _ => Site::Foreign,
                };
            }
            // Service Workers, section "Handle Fetch": the script itself, and what it would get of a page.
            "service-worker" => self.is_service_worker = true,
            "service-worker-navigation-preload" => self.is_navigation_preload = true,
            "upgrade" => self.is_upgrade = true,
            _ => {}
        }
    }

    /// Whether the request is for the script of a service worker, which would stand between the browser and every page
    /// of this origin from then on.
    #[must_use]
    pub const fn is_service_worker(&self) -> bool {
        self.is_service_worker
    }

    /// Whether a service worker has the browser fetch a page for it.
    #[must_use]
    pub const fn is_navigation_preload(&self) -> bool {
        self.is_navigation_preload
    }

    /// Whether a browser made the request. Older browsers send only `Origin`, and not always.
    #[must_use]
    pub fn is_by_browser(&self) -> bool {
        self.site != Site::Absent || self.has_origin
    }

    /// Whether a header that no browser sends twice came twice.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Whether a page of another origin is known to have made the request. `has_own_origin`: the request's `Origin`, if
    /// there is one, names this site.
    #[must_use]
    pub fn is_foreign(&self, has_own_origin: bool) -> bool {
        self.is_doubtful
            || match self.site {
                Site::Absent | Site::SameOrigin | Site::ByPerson => self.has_origin && !has_own_origin,
                Site::Foreign | Site::Sibling => true,
            }
    }

    /// Whether a page of another port, or of a sibling of this host, leads a whole window here.
    #[must_use]
    pub fn is_window_from_same_site(&self) -> bool {
        self.site == Site::Sibling && self.is_window() && !self.has_origin
    }

    /// Whether the `Origin` header is there.
    #[must_use]
    pub const fn has_origin(&self) -> bool {
        self.has_origin
    }

    /// Whether a whole window goes to the address.
    #[must_use]
    pub fn is_window(&self) -> bool {
        self.mode == Mode::Navigation && self.dest == Dest::Document && !self.is_doubtful
    }

    /// Whether the browser shows the answer as a page, in a window or within another page. Without metadata it cannot be
    /// known; then who asks for HTML may do so.
    #[must_use]
    pub fn is_rendered(&self) -> bool {
        match (self.mode, self.dest) {
            (Mode::Absent, Dest::Absent) => self.accepts_html,
            (Mode::Navigation, _) | (_, Dest::Document | Dest::Nested) => true,
            _ => false,
        }
    }

    /// Whether there is no metadata at all to go by.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.site == Site::Absent && self.mode == Mode::Absent && self.dest == Dest::Absent
    }

    /// Whether the answer becomes part of a page: a script, a style sheet, an image. These change rarely, and browsers
    /// keep them.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.dest == Dest::Part && self.mode != Mode::Navigation && !self.is_doubtful
    }

    /// Whether the request's maker reads pages: a browser on its way to one, and neither a script nor an upgrade.
    #[must_use]
    pub fn reads_pages(&self) -> bool {
        let is_on_its_way = match self.mode {
            Mode::Absent => self.prefers_pages,
            Mode::Navigation => self.accepts_html,
            Mode::Part => false,
        };
        is_on_its_way && !self.is_upgrade
    }
}

/// Whether `Accept` is that of a browser on its way to a page: HTML first, and XHTML or nothing special beside it. Programs
/// list HTML among others (Java's `HttpURLConnection` even first, before images) and want what the engine gives.
fn prefers_pages(accept: &[u8]) -> bool {
    let mut types = accept.split(|byte| *byte == b',').map(|item| {
        let end = item.iter().position(|byte| *byte == b';').unwrap_or(item.len());
        item.get(..end).unwrap_or_default().trim_ascii()
    });
    types.next().is_some_and(|first| first.eq_ignore_ascii_case(HTML))
        && (types.clone().all(|kind| kind == b"*/*")
            || types.any(|kind| kind.eq_ignore_ascii_case(b"application/xhtml+xml")))
}

fn dest(bytes: &[u8]) -> Dest {
    match bytes {
        b"document" => Dest::Document,
        b"empty" => Dest::Empty,
        b"audio" | b"audioworklet" | b"font" | b"image" | b"json" | b"manifest" | b"paintworklet"
        | b"report" | b"script" | b"serviceworker" | b"sharedworker" | b"style" | b"text" | b"track"
        | b"video" | b"webidentity" | b"worker" | b"xslt" => Dest::Part,
        // embed, fencedframe, frame, iframe, object, and whatever comes to be.
        _ => Dest::Nested,
    }
}

/// Whether a list of words holds this one, in any case.
fn is_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::FetchMetadata;

    fn read(pairs: &[(&str, &str)]) -> FetchMetadata {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        FetchMetadata::read(&headers)
    }

    #[test]
    fn i1_what_is_shown_as_a_page_is_known_by_mode_and_destination() {
        for dest in ["document", "iframe", "frame", "embed", "object", "fencedframe", "new", ""] {
            assert!(read(&[("sec-fetch-dest", dest)]).is_rendered(), "{dest}");
            assert!(read(&[("sec-fetch-dest", dest), ("sec-fetch-mode", "no-cors")]).is_rendered(), "{dest}");
        }
        for mode in ["navigate", "nested-navigate", "new", ""] {
            assert!(read(&[("sec-fetch-mode", mode)]).is_rendered(), "{mode}");
        }
        for dest in ["empty", "script", "image", "worker", "style"] {
            let part = read(&[("sec-fetch-dest", dest), ("sec-fetch-mode", "cors"), ("accept", "text/html")]);
            assert!(!part.is_rendered() && !part.reads_pages(), "{dest}");
        }
        assert!(read(&[("accept", "text/html,*/*")]).is_rendered());
        assert!(read(&[("accept", "application/json, TEXT/HTML")]).is_rendered());
        assert!(!read(&[("accept", "*/*")]).is_rendered());
    }

    #[test]
    fn i1_what_cannot_be_read_is_foreign() {
        for site in ["cross-site", "same-site", "Same-Origin", "", "same-origin, same-origin"] {
            assert!(read(&[("sec-fetch-site", site)]).is_foreign(true), "{site:?}");
        }
        for site in ["same-origin", "none"] {
            assert!(!read(&[("sec-fetch-site", site)]).is_foreign(false), "{site}");
            assert!(read(&[("sec-fetch-site", site), ("sec-fetch-site", site)]).is_foreign(true), "{site}");
            assert!(read(&[("sec-fetch-site", site), ("origin", "null")]).is_foreign(false), "{site}");
        }
        assert!(read(&[("origin", "x")]).is_foreign(false) && !read(&[("origin", "x")]).is_foreign(true));
        assert!(!read(&[]).is_foreign(false) && !read(&[]).is_by_browser());
        let twice = read(&[
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-dest", "document"),
        ]);
        assert!(twice.is_doubtful() && !twice.is_window());
    }

    #[test]
    fn i1_a_service_worker_is_known_by_either_header_in_any_case() {
        for pair in [
            ("service-worker", "script"),
            ("service-worker", "x"),
            ("sec-fetch-dest", "serviceworker"),
            ("sec-fetch-dest", "ServiceWorker"),
            ("sec-fetch-dest", "empty, serviceworker"),
        ] {
            assert!(read(&[pair]).is_service_worker(), "{pair:?}");
        }
        assert!(!read(&[("sec-fetch-dest", "sharedworker")]).is_service_worker());
        assert!(read(&[("service-worker-navigation-preload", "true")]).is_navigation_preload());
    }

    #[test]
    fn w6_a_list_that_merely_holds_html_is_no_browsers() {
        let wants = |accept: &str| {
            let headers = [("accept".parse().unwrap(), accept.parse().unwrap())].into_iter().collect();
            FetchMetadata::read(&headers).reads_pages()
        };
        for accept in [
            "text/html",
            "text/html,*/*",
            "Text/HTML;q=1 , */*;q=0.1",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        ] {
            assert!(wants(accept), "{accept}");
        }
        for accept in [
            "application/json, text/plain, text/html",
            "*/*, text/html",
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "text/html, application/json",
            "text/htmlx",
            "x/text/html",
            "",
        ] {
            assert!(!wants(accept), "{accept}");
        }
    }
}

//! What must be done with the engine's answer, decided with the request.

use crate::domain::Door;
use crate::policy::fetch::FetchMetadata;

/// How an answer of the engine is treated on its way to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnswerRules {
    /// The engine has pages of its own (`--engine-ui`): how they are shown is for the engine to say.
    pub engine_ui: bool,
    /// A browser shows the answer as a page.
    pub is_rendered: bool,
    /// What a browser may keep of it.
    pub keeping: Keeping,
}

/// What may be kept of an answer, beyond the login that it was given to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeping {
    /// What the engine says: the client is a program.
    AsTold,
    /// The whole, if this site is asked each time whether it may still be shown.
    Asked,
    /// Nothing: after a sign-out the browser must have nothing left to show.
    Nothing,
}

impl AnswerRules {
    /// The rules for the answer to a request that came in by this door.
    #[must_use]
    pub fn of(fetch: &FetchMetadata, door: Door, engine_ui: bool) -> Self {
        // Without metadata, the holder of a token who asks for HTML is a program: browsers do not add tokens.
        let is_rendered = fetch.is_rendered() && !(fetch.is_silent() && door == Door::Token);
        let is_browser = door == Door::Session || is_rendered || fetch.is_by_browser();
        let keeping = if door == Door::Token || !is_browser {
            Keeping::AsTold
        } else if engine_ui && fetch.is_part() {
            Keeping::Asked
        } else {
            Keeping::Nothing
        };
        Self { engine_ui, is_rendered, keeping }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::{AnswerRules, Keeping};
    use crate::domain::Door;
    use crate::policy::FetchMetadata;

    fn rules(door: Door, engine_ui: bool, pairs: &[(&'static str, &str)]) -> AnswerRules {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        AnswerRules::of(&FetchMetadata::read(&headers), door, engine_ui)
    }

    #[test]
    fn i23_a_browser_keeps_nothing_and_a_program_what_it_is_told() {
        let navigates: &[(&str, &str)] = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let script: &[(&str, &str)] = &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "script")];
        let old: &[(&str, &str)] = &[("accept", "text/html,*/*")];
        for door in [Door::Basic, Door::Certificate, Door::None, Door::Session] {
            for pairs in [navigates, script, old] {
                assert_eq!(rules(door, false, pairs).keeping, Keeping::Nothing, "{door:?} {pairs:?}");
            }
            assert_eq!(rules(door, true, navigates).keeping, Keeping::Nothing, "{door:?}");
            assert_eq!(rules(door, true, script).keeping, Keeping::Asked, "{door:?}");
        }
        assert_eq!(rules(Door::Session, false, &[]).keeping, Keeping::Nothing);
        for door in [Door::Basic, Door::Certificate, Door::None, Door::Token] {
            assert_eq!(rules(door, false, &[("accept", "*/*")]).keeping, Keeping::AsTold, "{door:?}");
        }
    }

    #[test]
    fn i1_a_token_without_fetch_metadata_is_a_programs() {
        assert!(!rules(Door::Token, false, &[("accept", "text/html")]).is_rendered);
        assert!(rules(Door::Token, false, &[("sec-fetch-mode", "navigate")]).is_rendered);
        assert!(rules(Door::Session, false, &[("accept", "text/html")]).is_rendered);
    }
}

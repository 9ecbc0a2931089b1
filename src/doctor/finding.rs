//! What the doctor says: one sentence for each thing looked at, and what to do about it.

use serde::Serialize;

/// How a check came out. The order is that of severity.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In order.
    Ok,
    /// It could not be looked at; the text says why, and how it could be.
    Unchecked,
    /// It works, and is probably not what was meant.
    Warning,
    /// Somebody cannot log in, or can who should not, or the gateway does not start.
    Problem,
}

impl Status {
    /// The word for people and scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One check and its outcome.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Stable name, `GROUP.CHECK`; listed in `docs/operations.md`.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// One sentence.
    pub text: String,
    /// What to do; only with a warning or a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// Nothing to do.
    #[must_use]
    pub fn ok(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, status: Status::Ok, text: text.into(), fix: None }
    }

    /// Not looked at, and why.
    #[must_use]
    pub fn unchecked(id: &'static str, why: impl Into<String>) -> Self {
        Self { id, status: Status::Unchecked, text: why.into(), fix: None }
    }

    /// Probably not what was meant.
    #[must_use]
    pub fn warning(id: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, status: Status::Warning, text: text.into(), fix: Some(fix.into()) }
    }

    /// To be put right.
    #[must_use]
    pub fn problem(id: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, status: Status::Problem, text: text.into(), fix: Some(fix.into()) }
    }

    /// The part of the id before the dot.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }
}

/// How many findings have each status.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// In order.
    pub ok: usize,
    /// Not looked at.
    pub unchecked: usize,
    /// Probably not what was meant.
    pub warning: usize,
    /// To be put right.
    pub problem: usize,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        Self {
            ok: count(Status::Ok),
            unchecked: count(Status::Unchecked),
            warning: count(Status::Warning),
            problem: count(Status::Problem),
        }
    }

    /// The worst there is. What could not be looked at makes nothing worse than it is.
    #[must_use]
    pub const fn verdict(self) -> Status {
        match self {
            Self { problem: 1.., .. } => Status::Problem,
            Self { warning: 1.., .. } => Status::Warning,
            _ => Status::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Status, Summary};

    #[test]
    fn the_verdict_is_the_worst_and_nothing_unchecked_makes_it_worse() {
        let ok = Finding::ok("a.b", "");
        let unchecked = Finding::unchecked("a.c", "");
        let warning = Finding::warning("a.d", "", "");
        let problem = Finding::problem("a.e", "", "");
        let verdict = |findings: &[&Finding]| {
            Summary::of(&findings.iter().map(|finding| (*finding).clone()).collect::<Vec<_>>()).verdict()
        };
        assert_eq!(verdict(&[&ok, &unchecked]), Status::Ok);
        assert_eq!(verdict(&[&ok, &warning, &unchecked]), Status::Warning);
        assert_eq!(verdict(&[&problem, &warning, &ok]), Status::Problem);
        assert_eq!(problem.group(), "a");
    }
}

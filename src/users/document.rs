//! The user file as a document: comments, order and spelling of what is not changed stay as they were.

use std::fmt;
use std::path::Path;

use toml_edit::{Array, Datetime, DocumentMut, Item, Table, TableLike, Value};

use super::UsersError;
use super::error::harmless;
use super::file::line_of;
use crate::domain::UnixSeconds;

const USERS: &str = "users";

/// A sound user file that is being changed. What cannot be done in its form is left out: whoever writes the text reads
/// it again before, and compares.
pub(super) struct Document(DocumentMut);

impl Document {
    /// Takes a text that was checked as a user file before.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, UsersError> {
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| UsersError::Syntax {
                path: path.to_owned(),
                line: line_of(text, &error.span().unwrap_or_default()),
                detail: harmless(error.message()),
            })?;
        Ok(Self(document))
    }

    /// Adds an entry behind the others.
    pub(super) fn add(&mut self, name: &str, hash: &str, groups: &[String]) {
        let mut user = Table::new();
        user.insert("password", Item::Value(hash.into()));
        user.insert("groups", Item::Value(Array::from_iter(groups).into()));
        if self.0.is_empty() {
            // All that such a file holds are comments, which stand above the first entry then.
            let above = self.0.trailing().as_str().unwrap_or_default().to_owned();
            let gap = if above.is_empty() { "" } else { "\n" };
            user.decor_mut().set_prefix(format!("{above}{gap}"));
            self.0.set_trailing("");
        }
        let users = self.0.entry(USERS).or_insert_with(|| {
            let mut users = Table::new();
            users.set_implicit(true);
            Item::Table(users)
        });
        if let Some(users) = users.as_table_like_mut() {
            users.insert(name, Item::Table(user));
        }
    }

    /// Replaces the hash.
    pub(super) fn set_password(&mut self, name: &str, hash: &str) {
        self.set(name, "password", hash.into());
    }

    /// Makes these the groups; those that stay keep their place and comments.
    pub(super) fn set_groups(&mut self, name: &str, groups: &[String]) {
        let old = self.user(name).and_then(|user| user.get_mut("groups")).and_then(Item::as_array_mut);
        let Some(old) = old else {
            self.set(name, "groups", Array::from_iter(groups).into());
            return;
        };
        let kept = retain(old, groups);
        for group in groups.iter().filter(|group| !kept.contains(group)) {
            old.push(group);
            continue_lines(old);
        }
    }

    /// Writes or replaces the flag.
    pub(super) fn set_disabled(&mut self, name: &str, disabled: bool) {
        self.set(name, "disabled", disabled.into());
    }

    /// Writes or replaces the time, as RFC 3339 in UTC.
    pub(super) fn set_valid_from(&mut self, name: &str, time: UnixSeconds) {
        let text = jiff::Timestamp::from_second(time).map(|time| time.to_string()).unwrap_or_default();
        if let Ok(time) = text.parse::<Datetime>() {
            self.set(name, "valid-from", time.into());
        }
    }

    /// Removes an entry. The block of comments right above it goes too, unless the file begins with it; what an empty
    /// line separates from it stays.
    pub(super) fn remove(&mut self, name: &str) {
        let first = self.positions().min();
        let Some(users) = self.0.get_mut(USERS).and_then(Item::as_table_like_mut) else { return };
        if let Some(Item::Table(table)) = users.remove(name)
            && let Some(position) = table.position()
        {
            let stays = what_stays(above(&table), first == Some(position));
            self.put_below(position, &stays);
        }
    }

    /// Puts a text in front of the next table behind `position`, else at the end of the file.
    fn put_below(&mut self, position: isize, text: &str) {
        if text.is_empty() {
            return;
        }
        let next = self.positions().filter(|other| *other > position).min();
        if let Some(table) = next.and_then(|next| self.table_at(next)) {
            let prefix = format!("{text}{}", above(table));
            table.decor_mut().set_prefix(prefix);
        } else {
            let trailing = format!("{text}{}", self.0.trailing().as_str().unwrap_or_default());
            self.0.set_trailing(trailing);
        }
    }

    /// Where the headers stand, `[users]` and `[users.NAME]`, in no order.
    fn positions(&self) -> impl Iterator<Item = isize> {
        let users = self.0.get(USERS).and_then(Item::as_table);
        let of_users = users.into_iter().flat_map(Table::iter).filter_map(|(_, item)| item.as_table());
        users.into_iter().chain(of_users).filter_map(Table::position)
    }

    fn table_at(&mut self, position: isize) -> Option<&mut Table> {
        let users = self.0.get_mut(USERS)?.as_table_mut()?;
        if users.position() == Some(position) {
            return Some(users);
        }
        let mut tables = users.iter_mut().filter_map(|(_, item)| item.as_table_mut());
        tables.find(|table| table.position() == Some(position))
    }

    fn user(&mut self, name: &str) -> Option<&mut dyn TableLike> {
        self.0.get_mut(USERS)?.as_table_like_mut()?.get_mut(name)?.as_table_like_mut()
    }

    /// A value that is replaced keeps its comment.
    fn set(&mut self, name: &str, key: &str, mut value: Value) {
        let Some(user) = self.user(name) else { return };
        match user.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            None => drop(user.insert(key, Item::Value(value))),
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Removes what is not wanted, or there twice; gives what is left. A comment stands before the value that follows it,
/// mostly on the line of the one before: it stays.
fn retain(array: &mut Array, wanted: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut comments = String::new();
    let mut index = 0;
    while let Some(value) = array.get_mut(index) {
        let name = value.as_str().unwrap_or_default().to_owned();
        let before = value.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
        if wanted.contains(&name) && !kept.contains(&name) {
            if !comments.is_empty() {
                value.decor_mut().set_prefix(format!("{comments}{before}"));
                comments.clear();
            }
            kept.push(name);
            index += 1;
        } else {
            if before.contains('#') {
                comments.push_str(before.trim_end_matches([' ', '\t', '\n']));
            }
            array.remove(index);
        }
    }
    if !comments.is_empty() {
        let trailing =
            array.trailing().as_str().unwrap_or_default().trim_start_matches([' ', '\t']).to_owned();
        let gap = if trailing.starts_with('\n') { "" } else { "\n" };
        array.set_trailing(format!("{comments}{gap}{trailing}"));
    }
    kept
}

/// Gives the last value a line of its own if the first has one. What stood behind the last comma before, a comment
/// mostly, comes first.
fn continue_lines(array: &mut Array) {
    let lines = |value: &Value| {
        let prefix = value.decor().prefix()?.as_str()?;
        prefix.rfind('\n').and_then(|line| prefix.get(line..)).map(str::to_owned)
    };
    let Some(indent) = array.get(0).and_then(lines) else { return };
    let behind = array.trailing().as_str().unwrap_or_default().trim_end().to_owned();
    if let Some(last) = array.len().checked_sub(1).and_then(|last| array.get_mut(last)) {
        last.decor_mut().set_prefix(format!("{behind}{indent}"));
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
}

/// The comments and empty lines above a table's header.
fn above(table: &Table) -> &str {
    table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default()
}

/// What outlives a table that is removed.
fn what_stays(above: &str, is_first: bool) -> String {
    let mut end_of_empty = 0;
    let mut end = 0;
    for line in above.split_inclusive('\n') {
        end += line.len();
        if line.trim().is_empty() {
            end_of_empty = end;
        }
    }
    let (apart, block) = above.split_at(end_of_empty);
    match (apart.trim().is_empty(), is_first) {
        // What a file begins with is about the file.
        (true, true) if !block.is_empty() => format!("{above}\n"),
        (true, _) => String::new(),
        (false, _) => apart.to_owned(),
    }
}

#[cfg(test)]
mod tests;

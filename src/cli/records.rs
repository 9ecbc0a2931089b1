//! Lists of what the gateway keeps of people (tokens, sessions, certificates), and its end.

use anstyle::Style;
use clap::Args;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::failure::{Failure, Outcome};
use super::remote::{self, HostArgs, moment};
use super::shown::shown_in_line;
use super::terminal::{confirm, has_person};
use super::{report, table};
use crate::domain::UnixSeconds;

/// A kind of records of the API.
pub(super) struct Kind {
    /// Below `/_doorward/api/v1/`.
    pub(super) path: &'static str,
    /// `token`.
    pub(super) one: &'static str,
    /// Columns: heading, and field of the JSON.
    pub(super) columns: &'static [Column],
}

/// A column of a table.
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) field: &'static str,
    pub(super) form: Form,
}

/// How a field is shown.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    /// RFC 3339, shown from now.
    Time,
}

/// What `list` takes.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Everybody's, for administrators
    #[arg(long)]
    all: bool,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
}

/// What `revoke` takes.
#[derive(Args, Debug)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Which ones, as 'list' shows them
    #[arg(value_name = "ID", required_unless_present = "user")]
    id: Vec<String>,
    /// All of this user's; others' are for administrators
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    user: Option<String>,
    /// Do not ask before all of a user's are revoked
    #[arg(long, short, requires = "user")]
    yes: bool,
}

impl Kind {
    /// Lists them.
    pub(super) fn list(&self, args: &ListArgs) -> Outcome {
        let login = args.host.login()?;
        let path = format!("/_doorward/api/v1/{}{}", self.path, if args.all { "?all=true" } else { "" });
        let answer = remote::wait_for(login.gateway().json::<Vec<Value>>(Method::GET, &path, None::<&()>))??;
        let rows = answer.content;
        if args.json {
            report::say_json(&Value::Array(rows).to_string());
        } else if rows.is_empty() {
            report::complain(format_args!("no {}s", self.one));
        } else {
            report::say_in_colour(&self.table(&rows, args.all, remote::now()));
        }
        Ok(())
    }

    /// Ends some of them.
    pub(super) fn revoke(&self, args: &RevokeArgs) -> Outcome {
        let login = args.host.login()?;
        let gateway = login.gateway();
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        if let Some(user) = &args.user {
            let question = format!("Revoke all {}s of {} at {}?", self.one, shown_in_line(user), login.url);
            if !args.yes && has_person() && !confirm(&question) {
                return Err(Failure::Other(anyhow::anyhow!("nothing was changed")));
            }
            let path = format!("/_doorward/api/v1/{}?user={}", self.path, encode(user));
            let answer =
                remote::wait_for(gateway.json::<Value>(Method::DELETE, &path, None::<&()>))??.content;
            let count = answer.get("revoked").and_then(Value::as_u64);
            let count = count.map_or_else(|| "all".to_owned(), |count| count.to_string());
            report::complain(format_args!("revoked {count} {}(s) of {}", self.one, shown_in_line(user)));
            return Ok(());
        }
        for id in &args.id {
            let path = format!("/_doorward/api/v1/{}/{}", self.path, encode(id));
            let told = remote::wait_for(gateway.json::<Value>(Method::DELETE, &path, None::<&()>))?;
            told.map_err(|error| Failure::from(error).after(&format!("{} {id}", self.one)))?;
            report::complain(format_args!("revoked {} {}", self.one, shown_in_line(id)));
        }
        Ok(())
    }

    fn table(&self, rows: &[Value], with_users: bool, now: UnixSeconds) -> String {
        let user = Column { head: "USER", field: "user", form: Form::Text };
        // A gateway of another version may not tell all of it.
        let is_told = |column: &&Column| rows.iter().any(|row| !row[column.field].is_null());
        let columns: Vec<&Column> =
            with_users.then_some(&user).into_iter().chain(self.columns).filter(is_told).collect();
        let head: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    columns.iter().map(|column| cell(&row[column.field], column.form, now)).collect(),
                    Style::new(),
                )
            })
            .collect();
        table::render_any(&head, &rows)
    }
}

fn cell(value: &Value, form: Form, now: UnixSeconds) -> String {
    match (value, form) {
        (Value::Null, _) => "-".to_owned(),
        (Value::String(text), Form::Time) => {
            moment(text).map_or_else(|| shown_in_line(text), |at| remote::distance(at, now))
        }
        (Value::String(text), Form::Text) => shown_in_line(text),
        (other, _) => shown_in_line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cli::token::TOKENS;

    #[test]
    fn a_table_shows_what_the_gateway_tells_and_nothing_of_it_steers_the_terminal() {
        let rows = [
            json!({"id": "a1", "name": "ci\u{1b}[2J", "kind": "minted", "created": "1970-01-01T00:00:00Z",
                   "last_used": null, "expires": "1970-01-01T13:00:00Z", "user": "bob"}),
            json!({"id": "b2", "name": "x", "kind": "login", "created": "soon", "expires": 7}),
        ];
        let text = anstream::adapter::strip_str(&TOKENS.table(&rows, false, 3600)).to_string();
        assert_eq!(
            text,
            "ID  NAME     KIND    CREATED  EXPIRES\n\
             a1  ci?[2J   minted  1 h ago  in 12 h\n\
             b2  x        login   soon     7\n"
                .replace("ci?[2J   ", "ci?[2J  ")
                .replace("NAME     ", "NAME    ")
                .replace("x        ", "x       ")
        );
        assert!(TOKENS.table(&rows, true, 0).contains("USER"));
    }
}

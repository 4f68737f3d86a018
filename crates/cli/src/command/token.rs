//! `rootcast token`

use crate::arguments;
use crate::client::{Server, part};
use crate::error::Error;
use crate::output::Output;
use clap::{Args, Subcommand};
use rootcast_control::service::tokens::{MadeToken, Role, TokenView};
use serde::Serialize;
use std::fmt;

/// Who may do what with the control plane: list tokens, make one, revoke one
///
/// This needs an administrator's token. A viewer looks, an operator uploads and runs rollouts, an admin does everything.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast token list
  rootcast token create ci --role operator
  rootcast token revoke 5c1d0f3a9b7e2468")]
pub struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    List(List),
    Create(Create),
    Revoke(Revoke),
}

/// List tokens, without their secrets
#[derive(Args)]
struct List {
    #[command(flatten)]
    server: Server,
}

/// Make a token; it is printed once
#[derive(Args)]
struct Create {
    /// For whom or what: it stands in the audit log
    name: String,

    /// What it lets somebody do: viewer, operator or admin
    #[arg(long, default_value = "viewer", value_parser = role)]
    role: Role,

    #[command(flatten)]
    server: Server,
}

/// Revoke a token: from then on it opens nothing, and who is logged in with it is not any more
#[derive(Args)]
struct Revoke {
    /// The token's id: rootcast token list shows it
    id: String,

    #[command(flatten)]
    server: Server,
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| "the role is viewer, operator or admin".to_string())
}

#[derive(Serialize)]
struct NewToken<'a> {
    name: &'a str,
    role: Role,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Line(TokenView);

#[derive(Serialize)]
#[serde(transparent)]
struct Made(MadeToken);

#[derive(Serialize)]
struct Revoked<'a> {
    event: &'static str,
    token: &'a str,
}

impl Token {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        arguments::runtime()?.block_on(async {
            match &self.action {
                Action::List(list) => {
                    let tokens: Vec<TokenView> = list.server.client()?.get("/tokens", &[]).await?;
                    tokens.into_iter().try_for_each(|token| output.show(&Line(token)))
                }
                Action::Create(create) => {
                    let new = NewToken { name: &create.name, role: create.role };
                    let made: MadeToken = create.server.client()?.post("/tokens", &new).await?;
                    output.show(&Made(made))
                }
                Action::Revoke(revoke) => {
                    revoke.server.client()?.delete(&format!("/tokens/{}", part(&revoke.id))).await?;
                    output.show(&Revoked { event: "revoked", token: &revoke.id })
                }
            }
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        write!(f, "{}  {:<8}  {}  made {}", it.id, it.role.name(), it.name, it.created_at)?;
        match &it.revoked_at {
            Some(at) => write!(f, ", revoked {at}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.0.view;
        writeln!(f, "{} may act as {}; the token, shown this once:\n", view.name, view.role.name())?;
        writeln!(f, "  {}\n", self.0.token)?;
        write!(f, "Revoke it with: rootcast token revoke {}", view.id)
    }
}

impl fmt::Display for Revoked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revoked {}", self.token)
    }
}

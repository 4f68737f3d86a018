//! `rootcast webhook`

use crate::arguments;
use crate::client::{Server, part};
use crate::error::Error;
use crate::files;
use crate::output::Output;
use clap::{Args, Subcommand};
use rootcast_control::service::webhooks::{Kind, MadeWebhook, TestOutcome, WebhookView};
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::path::PathBuf;

/// Have other programs told what happens: list webhooks, add one, try it, switch it on or off, remove it
///
/// Each event is one POST in the form of Standard Webhooks (standardwebhooks.com): signed, in order, and sent again, more and
/// more slowly, until an answer of 200 to 299 takes it. This needs an administrator's token.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast webhook add https://example.com/hook
  rootcast webhook add https://example.com/hook --events rollout,update
  rootcast webhook test w018f2e6a9c41d2a7b3c9
  rootcast webhook on w018f2e6a9c41d2a7b3c9 --skip-missed")]
pub struct Webhook {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    List(List),
    Add(Add),
    Test(One),
    On(On),
    Off(One),
    Remove(One),
}

/// List webhooks, and how well they take what they are told
#[derive(Args)]
struct List {
    #[command(flatten)]
    server: Server,
}

/// Add a webhook; the secret that its messages are signed with is printed once
#[derive(Args)]
struct Add {
    /// Where messages are sent
    url: String,

    /// Which events: rollout, wave, update, node, release, broker, webhook
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', default_value = "rollout,wave", value_parser = kind)]
    events: Vec<Kind>,

    /// Certificates (PEM) of authorities that it may have beside the usual ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Allow plain http to another machine: everybody on the way can read along
    #[arg(long)]
    plain_http: bool,

    #[command(flatten)]
    server: Server,
}

/// Switch a webhook on again; it is told what it missed
#[derive(Args)]
struct On {
    /// The webhook's id: rootcast webhook list shows it
    id: String,

    /// Do not tell it what it missed
    #[arg(long)]
    skip_missed: bool,

    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
struct One {
    /// The webhook's id: rootcast webhook list shows it
    id: String,

    #[command(flatten)]
    server: Server,
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::from_name(text).ok_or_else(|| format!("there are the kinds {}", names()))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Line(WebhookView);

#[derive(Serialize)]
#[serde(transparent)]
struct Made(MadeWebhook);

#[derive(Serialize)]
struct Tested<'a> {
    event: &'static str,
    webhook: &'a str,
    #[serde(flatten)]
    outcome: TestOutcome,
}

#[derive(Serialize)]
struct Removed<'a> {
    event: &'static str,
    webhook: &'a str,
}

impl Webhook {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        arguments::runtime()?.block_on(async {
            match &self.action {
                Action::List(list) => {
                    let webhooks: Vec<WebhookView> = list.server.client()?.get("/webhooks", &[]).await?;
                    webhooks.into_iter().try_for_each(|webhook| output.show(&Line(webhook)))
                }
                Action::Add(add) => {
                    let ca = add.ca.as_deref().map(files::read).transpose()?;
                    let ca = ca.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    let new = json!({
                        "url": add.url, "kinds": add.events, "ca": ca, "plain_http": add.plain_http
                    });
                    let made: MadeWebhook = add.server.client()?.post("/webhooks", &new).await?;
                    output.show(&Made(made))
                }
                Action::Test(one) => test(one, output).await,
                Action::On(on) => {
                    let change = json!({ "on": true, "skip_missed": on.skip_missed });
                    self::change(&on.server, &on.id, &change, output).await
                }
                Action::Off(off) => change(&off.server, &off.id, &json!({ "on": false }), output).await,
                Action::Remove(one) => {
                    one.server.client()?.delete(&format!("/webhooks/{}", part(&one.id))).await?;
                    output.show(&Removed { event: "removed", webhook: &one.id })
                }
            }
        })
    }
}

async fn test(one: &One, output: &mut Output) -> Result<(), Error> {
    let path = format!("/webhooks/{}/test", part(&one.id));
    let outcome: TestOutcome = one.server.client()?.order(&path, &[]).await?;
    let reason = outcome.error.clone();
    if output.is_json() || reason.is_none() {
        output.show(&Tested { event: "tested", webhook: &one.id, outcome })?;
    }
    reason.map_or(Ok(()), |reason| Err(Error::NotTaken { reason }))
}

async fn change(
    server: &Server,
    id: &str,
    change: &serde_json::Value,
    output: &mut Output,
) -> Result<(), Error> {
    let changed: WebhookView = server.client()?.patch(&format!("/webhooks/{}", part(id)), change).await?;
    output.show(&Line(changed))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        let kinds: Vec<&str> = it.kinds.iter().map(Kind::name).collect();
        write!(f, "{}  {}  {}  {} taken", it.id, it.url, kinds.join(","), it.delivered)?;
        if let Some(why) = &it.off {
            return write!(f, ", off: {why}");
        }
        if let (Some(since), Some(error)) = (&it.failing_since, &it.error) {
            write!(f, ", failing since {since} ({} times): {error}", it.failures)?;
        }
        Ok(())
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.0.view;
        writeln!(
            f,
            "{} is told from now on; the secret to check signatures with, shown this once:\n",
            view.url
        )?;
        writeln!(f, "  {}\n", self.0.secret)?;
        write!(f, "Try it with: rootcast webhook test {}", view.id)
    }
}

impl fmt::Display for Tested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} took the test message, in {} ms", self.webhook, self.outcome.took_ms)
    }
}

impl fmt::Display for Removed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed {}", self.webhook)
    }
}

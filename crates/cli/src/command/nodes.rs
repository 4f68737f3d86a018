//! `rootcast nodes`

use crate::arguments;
use crate::client::{Server, part};
use crate::error::Error;
use crate::output::Output;
use clap::Args;
use rootcast_control::service::nodes::{NodePage, NodeView};
use serde::Serialize;
use std::fmt;

/// List the nodes that the control plane has heard of, or show one, name it and tag it
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast nodes
  rootcast nodes --mesh home --offline
  rootcast nodes a0:b1:c2:d3:e4:ff --set-name \"kitchen\" --set-tags ground-floor,test")]
pub struct Nodes {
    /// One node: its id or MAC address
    node: Option<String>,

    /// Only nodes of this mesh
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,

    /// Only nodes of this type
    #[arg(long = "type", value_name = "TYPE")]
    node_type: Option<String>,

    /// Only nodes with this tag
    #[arg(long)]
    tag: Option<String>,

    /// Only nodes that run this version
    #[arg(long)]
    version: Option<String>,

    /// Only nodes that are present
    #[arg(long, conflicts_with = "offline")]
    online: bool,

    /// Only nodes that are away
    #[arg(long)]
    offline: bool,

    /// Call the node so; an empty text takes the name away
    #[arg(long, value_name = "NAME", requires = "node")]
    set_name: Option<String>,

    /// Mark the node with these tags, in place of those it has
    #[arg(long, value_name = "TAG,…", requires = "node", value_delimiter = ',')]
    set_tags: Option<Vec<String>>,

    /// Forget the node; it comes back when it is heard of again
    #[arg(long, requires = "node", conflicts_with_all = ["set_name", "set_tags"])]
    forget: bool,

    #[command(flatten)]
    server: Server,
}

#[derive(Serialize)]
struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Forgotten<'a> {
    event: &'static str,
    node: &'a str,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Line(NodeView);

#[derive(Serialize)]
struct Count {
    nodes: usize,
    online: usize,
}

impl Nodes {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            if let Some(node) = &self.node {
                let path = format!("/nodes/{}", part(node));
                if self.forget {
                    client.delete(&path).await?;
                    return output.show(&Forgotten { event: "forgotten", node });
                }
                let change = Change { name: self.set_name.as_deref(), tags: self.set_tags.as_deref() };
                let view: NodeView = match change.name.is_some() || change.tags.is_some() {
                    true => client.patch(&path, &change).await?,
                    false => client.get(&path, &[]).await?,
                };
                return output.show(&Line(view));
            }
            let mut query = vec![("limit", "1000".to_string())];
            let filters = [
                ("mesh", &self.mesh),
                ("type", &self.node_type),
                ("tag", &self.tag),
                ("version", &self.version),
            ];
            query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
            if self.online || self.offline {
                query.push(("online", self.online.to_string()));
            }
            let mut count = Count { nodes: 0, online: 0 };
            let mut after = None;
            loop {
                let mut query = query.clone();
                query.extend(after.map(|after| ("after", after)));
                let page: NodePage = client.get("/nodes", &query).await?;
                for node in page.items {
                    count.nodes += 1;
                    count.online += usize::from(node.online);
                    output.show(&Line(node))?;
                }
                after = page.next;
                if after.is_none() {
                    return output.show(&count);
                }
            }
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.0;
        let version = node.version.as_deref().unwrap_or("unknown version");
        let presence = if node.online { "online " } else { "offline" };
        write!(f, "{}  {presence}  {:8}  {version:20}", node.mac, node.node_type)?;
        if node.root {
            f.write_str("  root")?;
        } else if let Some(layer) = node.layer {
            write!(f, "  layer {layer}")?;
        }
        if !node.mesh.is_empty() {
            write!(f, "  mesh {}", node.mesh)?;
        }
        if let Some(name) = &node.name {
            write!(f, "  \"{name}\"")?;
        }
        for tag in &node.tags {
            write!(f, "  #{tag}")?;
        }
        if let Some(error) = &node.error {
            write!(f, "  {error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nodes {
            0 => f.write_str("no node was heard of"),
            nodes => {
                write!(f, "{nodes} {}, {} online", if nodes == 1 { "node" } else { "nodes" }, self.online)
            }
        }
    }
}

impl fmt::Display for Forgotten<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forgotten: {}", self.node)
    }
}

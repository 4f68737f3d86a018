//! Who is in the mesh, and what of it each node is told.

use super::event::Event;
use super::options::Behaviour;
use super::world::World;
use rootcast_node::{Input, MeshState};

impl World {
    pub(super) fn radio_up(&mut self, node: usize) {
        self.stations[node].mesh.started = true;
        self.tell_mesh(node);
        self.consider_joining(node);
    }

    /// Schedules a node's joining if nothing stands against it.
    fn consider_joining(&mut self, node: usize) {
        let station = &self.stations[node];
        if self.parent_is_there(node)
            && station.is_running()
            && station.mesh.started
            && !station.mesh.joined
            && station.behaviour != Behaviour::NeverJoins
        {
            let span = self.options.join;
            self.schedule(span, node, Event::Join);
        }
    }

    fn parent_is_there(&self, node: usize) -> bool {
        self.mesh.parent(node).is_none_or(|parent| self.stations[parent].is_in_mesh())
    }

    pub(super) fn join(&mut self, node: usize) {
        if self.stations[node].mesh.joined || !self.parent_is_there(node) {
            return;
        }
        let parent = self.mesh.parent(node);
        let (parent_id, layer) = match parent {
            Some(parent) => (self.stations[parent].id, self.stations[parent].mesh.layer.saturating_add(1)),
            None => (self.stations[node].id, 1),
        };
        let signal_dbm = -(self.random.between(40, 75) as i8);
        self.stations[node].mesh =
            MeshState { started: true, joined: true, layer, parent: parent_id, signal_dbm };
        let unix_s = self.options.unix_s + self.now.0 / 1000;
        self.tell(node, Input::WallClock { unix_s });
        self.tell_mesh(node);
        if self.stations[node].machine.settings().is_root && !self.broker.is_down {
            let span = self.options.mqtt;
            self.schedule(span, node, Event::MqttUp);
        }
        for child in self.mesh.children(node).to_vec() {
            self.consider_joining(child);
        }
    }

    pub(super) fn leave(&mut self, node: usize) {
        if !self.stations[node].mesh.joined {
            return;
        }
        self.stations[node].mesh.joined = false;
        if self.stations[node].stream.take().is_some_and(|stream| stream.connection.is_some()) {
            self.tell(node, Input::StreamClosed);
        }
        self.tell_mesh(node);
        self.children_notice(node);
        self.consider_joining(node);
    }

    /// A node is gone, or has lost its own parent: its children will notice.
    pub(super) fn children_notice(&mut self, node: usize) {
        for child in self.mesh.children(node).to_vec() {
            if self.stations[child].mesh.joined {
                let span = self.options.notice;
                self.schedule(span, child, Event::Leave);
            }
        }
    }

    fn tell_mesh(&mut self, node: usize) {
        let mesh = self.stations[node].mesh;
        self.tell(node, Input::Mesh(mesh));
    }
}

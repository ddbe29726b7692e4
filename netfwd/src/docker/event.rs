//! What an event of the engine means: what is to be asked again.

use bollard::models::{EventMessage, EventMessageTypeEnum};

use super::Id;

/// The kinds of events that are asked for.
pub(super) const KINDS: [&str; 2] = ["container", "network"];

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A container runs, or is called differently.
    Started(Id),
    /// A container does not run any more.
    Ended(Id),
    /// A container has another network, or one less.
    Rewired(Id),
    /// A network has come or gone.
    Networks,
}

impl Event {
    /// `None` for what changes neither ports nor networks: pauses, signals, health checks, what is executed.
    pub(super) fn of(message: EventMessage) -> Option<Self> {
        let action = message.action?;
        let actor = message.actor?;
        let kind = message.typ?;
        match (kind, action.as_str()) {
            (EventMessageTypeEnum::CONTAINER, "start" | "rename") => Some(Self::Started(actor.id?)),
            (EventMessageTypeEnum::CONTAINER, "die" | "destroy") => Some(Self::Ended(actor.id?)),
            (EventMessageTypeEnum::NETWORK, "connect" | "disconnect") => {
                Some(Self::Rewired(actor.attributes?.remove("container")?))
            }
            (EventMessageTypeEnum::NETWORK, _) => Some(Self::Networks),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, action: &str) -> Option<Event> {
        let actor = json!({"ID": "actor", "Attributes": {"container": "member", "name": "x"}});
        let message = json!({"Type": kind, "Action": action, "Actor": actor, "scope": "local", "timeNano": 1});
        Event::of(serde_json::from_value(message).unwrap())
    }

    #[test]
    fn containers_start_and_end_and_networks_change() {
        for (kind, action, expected) in [
            ("container", "start", Event::Started("actor".to_owned())),
            ("container", "rename", Event::Started("actor".to_owned())),
            ("container", "die", Event::Ended("actor".to_owned())),
            ("container", "destroy", Event::Ended("actor".to_owned())),
            ("network", "connect", Event::Rewired("member".to_owned())),
            ("network", "disconnect", Event::Rewired("member".to_owned())),
            ("network", "create", Event::Networks),
            ("network", "destroy", Event::Networks),
        ] {
            assert_eq!(event(kind, action), Some(expected));
        }
    }

    #[test]
    fn noise_means_nothing() {
        for action in ["create", "kill", "stop", "pause", "unpause", "exec_create: sh", "health_status: healthy"] {
            assert_eq!(event("container", action), None, "{action}");
        }
        assert_eq!(event("image", "delete"), None);
        assert_eq!(Event::of(EventMessage::default()), None);
    }
}

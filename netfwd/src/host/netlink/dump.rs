//! Lists of interfaces and addresses. One is sent in parts, and what changes in between makes older kernels skip what was
//! there all the time (`NLM_F_DUMP_INTR`, netlink(7)): an address that seems to have gone would cost its flows.

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{RouteNetlinkMessage as Message, address::AddressMessage, link::LinkMessage},
};

use super::Netlink;

/// How often a list is read that changes each time.
const TRIES: u32 = 20;

impl Netlink {
    /// All interfaces.
    pub(super) fn links(&self) -> Result<Vec<LinkMessage>> {
        let link = |answer| if let Message::NewLink(link) = answer { Some(link) } else { None };
        self.dump(Message::GetLink(LinkMessage::default()), link).context("cannot list the interfaces")
    }

    /// All addresses of both families.
    pub(super) fn addresses(&self) -> Result<Vec<AddressMessage>> {
        let address = |answer| if let Message::NewAddress(address) = answer { Some(address) } else { None };
        self.dump(Message::GetAddress(AddressMessage::default()), address).context("cannot list the addresses")
    }

    fn dump<T>(&self, request: Message, pick: impl Fn(Message) -> Option<T>) -> Result<Vec<T>> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        for _ in 0..TRIES {
            let answers = self.handle.clone().request(request.clone())?;
            if let Some(whole) = whole(self.wait(answers.collect()))? {
                return Ok(whole.into_iter().filter_map(pick).collect());
            }
        }
        bail!("it changed each of the {TRIES} times that it was read: try again")
    }
}

/// The parts of a list; `None` if something changed between them.
fn whole(answers: Vec<NetlinkMessage<Message>>) -> Result<Option<Vec<Message>>, rtnetlink::Error> {
    let mut parts = Vec::with_capacity(answers.len());
    let mut is_interrupted = false;
    for answer in answers {
        is_interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        if let NetlinkPayload::InnerMessage(part) = answer.payload {
            parts.push(part);
        } else if let NetlinkPayload::Error(error) = answer.payload {
            return Err(rtnetlink::Error::NetlinkError(error));
        }
    }
    Ok((!is_interrupted).then_some(parts))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroI32;

    use rtnetlink::packet_core::ErrorMessage;

    use super::*;

    fn link(index: u32, flags: u16) -> NetlinkMessage<Message> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let mut message = NetlinkMessage::from(Message::NewLink(link));
        message.header.flags = flags;
        message
    }

    #[test]
    fn a_list_that_changed_while_it_was_read_is_none() {
        assert_eq!(whole(vec![link(1, 2), link(2, 2)]).unwrap().map(|parts| parts.len()), Some(2));
        assert_eq!(whole(vec![link(1, 2), link(3, 2 | NLM_F_DUMP_INTR), link(4, 2)]).unwrap(), None);
        assert_eq!(whole(Vec::new()).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        let mut error = ErrorMessage::default();
        error.code = NonZeroI32::new(-1);
        let mut answer = link(1, 0);
        answer.payload = NetlinkPayload::Error(error);
        assert!(whole(vec![answer]).unwrap_err().to_string().contains("Operation not permitted"));
    }
}

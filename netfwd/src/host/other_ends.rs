//! The other ends of veth pairs, in network namespaces that others have made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    panic,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use nix::{
    net::if_::if_indextoname,
    sched::{CloneFlags, setns},
};
use rtnetlink::{
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        nsid::{NsidAttribute, NsidMessage},
    },
};

use super::{ethtool, interfaces::OtherEnd, netlink::Netlink};

/// Where files of network namespaces are, beside those of processes: Docker's and those of `ip netns`.
const NAMED: [&str; 2] = ["/run/docker/netns", "/run/netns"];

/// Network namespaces, by the number that this one has given them.
pub struct Namespaces(BTreeMap<i32, File>);

impl Namespaces {
    /// Looks for those with certain numbers among all that processes are in or that have a name.
    pub fn find(netlink: &Netlink, wanted: &BTreeSet<i32>) -> Self {
        let (mut found, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for path in candidates() {
            if found.len() == wanted.len() {
                break;
            }
            // Whatever has gone meanwhile, or is no namespace, is none of those.
            let Ok(is_new) = fs::metadata(&path).map(|data| seen.insert((data.dev(), data.ino()))) else { continue };
            if let Some(file) = is_new.then(|| File::open(&path).ok()).flatten()
                && let Some(id) = netlink.id_of(&file).filter(|id| wanted.contains(id))
            {
                found.insert(id, file);
            }
        }
        Self(found)
    }

    /// Makes the end of a veth pair take frames without a socket buffer: it does with generic receive offload
    /// (`veth_set_features` in drivers/net/veth.c, kernel 5.13).
    pub fn prepare(&self, end: OtherEnd) -> Result<()> {
        let namespace = self
            .0
            .get(&end.netns)
            .context("its other end's network namespace is not to be seen from here: attach once as root")?;
        let prepare = || -> Result<()> {
            let name = if_indextoname(end.index).context("its other end has gone")?;
            let name = name.to_string_lossy();
            ethtool::turn_on_gro(&name).with_context(|| format!("cannot turn on GRO at its other end, {name}"))
        };
        enter(namespace, prepare)
            .context("cannot enter its other end's network namespace, which takes CAP_SYS_ADMIN: attach once as root")?
    }
}

impl Netlink {
    /// The number that this network namespace has given to another one, if it has.
    fn id_of(&self, namespace: &File) -> Option<i32> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(u32::try_from(namespace.as_raw_fd()).ok()?));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(message));
        request.header.flags = NLM_F_REQUEST;
        let answers = self.handle().clone().request(request).ok()?;
        let answers: Vec<_> = self.wait(answers.collect());
        let attributes = answers.into_iter().filter_map(|answer| {
            let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) = answer.payload else {
                return None;
            };
            Some(message.attributes)
        });
        attributes.flatten().find_map(|attribute| {
            let NsidAttribute::Id(id) = attribute else { return None };
            (id >= 0).then_some(id)
        })
    }
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let named = NAMED.iter().flat_map(|directory| entries(Path::new(directory)));
    named.chain(entries(Path::new("/proc")).map(|process| process.join("ns/net")))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).ok().into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// Does something on a thread of its own within a network namespace.
fn enter<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let inside = || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
}

//! Who gets into an isolated network, and out of an internal one.

use netfwd_common::{
    abi::{Reason, Side},
    parse::{Headers, Kind},
    tables::Tables as _,
    verdict::Verdict,
};

use super::Meeting;
use crate::world::{BRIDGE, Place, UPLINK};

/// Nothing passes that the host would forward into an isolated network, or out of an internal one, and nothing else is
/// dropped for it.
pub(super) fn check<A: Place>(meeting: &Meeting<'_, A>) {
    let Ok(headers) = &meeting.headers else { return };
    let here = if meeting.side == Side::Bridge { BRIDGE } else { UPLINK };
    let is_kept = meeting.side != Side::Inside && is_kept(meeting, headers, here);
    match meeting.verdict {
        Verdict::Pass(_) => assert!(!is_kept, "{headers:?} gets through"),
        Verdict::Drop(Reason::Isolated) => assert!(is_kept, "{headers:?} is stopped"),
        Verdict::Translated
        | Verdict::Redirected(_)
        | Verdict::ToContainer(_)
        | Verdict::ToNeighbour(_)
        | Verdict::Drop(_)
        | Verdict::Answered(..) => (),
    }
}

fn is_kept<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>, here: u32) -> bool {
    let Meeting { tables, plan, side, .. } = meeting;
    let Some(there) = tables.routes.get(&headers.destination).copied().filter(|there| *there != here) else {
        return false;
    };
    let is_internal = plan.is_internal && *side == Side::Bridge;
    is_internal || plan.isolates && there != UPLINK && !is_known_to_excluded(meeting, headers, here)
}

fn is_known_to_excluded<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>, here: u32) -> bool {
    let is_excluded = |address: A| {
        address == A::EXCLUDED
            && meeting.tables.exclusion(here, address).is_some_and(|it| meeting.tables.is_in_force(*it))
    };
    let mut about = Headers::EMPTY;
    let is_report = headers.transport.kind == Kind::IcmpError
        && A::parse_quoted(meeting.before, headers.transport_at + 8, headers.end_at, &mut about).is_ok()
        && about.source == headers.destination;
    is_excluded(headers.source) || is_report && is_excluded(about.destination)
}

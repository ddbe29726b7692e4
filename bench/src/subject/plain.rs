//! Routing alone: the floor.

use anyhow::Result;

use super::{Ports, Protocol, Subject};
use crate::site::Site;

/// The host routes and translates nothing.
pub(crate) struct Plain;

impl Plain {
    pub(crate) const NAME: &str = "plain routing";
}

impl Subject for Plain {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn translates(&self) -> bool {
        false
    }

    /// Instead of an untranslated packet's answer, which would find no way back.
    fn set_up(&self, site: &mut Site) -> Result<()> {
        let gateway = site.host_address().to_string();
        site.client().run(&["ip", "route", "add", &site.subnet(), "via", &gateway])?;
        Ok(())
    }

    fn publish(&self, _site: &mut Site, _protocol: Protocol, _ports: Ports) -> Result<()> {
        Ok(())
    }

    fn withdraw(&self, _site: &mut Site, _protocol: Protocol, _ports: Ports) -> Result<()> {
        Ok(())
    }

    fn forget_flows(&self, _site: &mut Site) -> Result<()> {
        Ok(())
    }
}

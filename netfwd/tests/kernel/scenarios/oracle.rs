//! One script for two translators: each scenario runs over nftables' NAT and over netfwd, and sees the same.
//!
//! Those that only netfwd passes are declared with what nftables does instead, in words and by a test that fails once
//! nftables does otherwise; docs/oracle.md lists them.

mod bindings;
mod changes;
mod commands;
mod exhaustion;
mod fragments;
mod hairpin;
mod icmp;
mod moby;
mod mtu;
mod nft;
mod protocols;
mod stage;
mod tcp;
mod uplinks;

/// Makes tests of scenarios, which are functions of a [`stage::Backend`].
///
/// `same` are run over both, `better` over netfwd, and what nftables does instead over that.
macro_rules! scenarios {
    (same: [$($same:ident),* $(,)?] better: [$($better:ident: $instead:literal by $nft:ident),* $(,)?]) => {
        mod over_nft {
            use super::super::stage::Backend;
            $(
                #[test]
                #[ignore = "needs root and BPF: cargo xtask test"]
                fn $same() {
                    super::$same(Backend::Nft);
                }
            )*
        }

        mod over_netfwd {
            use super::super::stage::Backend;
            $(
                #[test]
                #[ignore = "needs root and BPF: cargo xtask test"]
                fn $same() {
                    super::$same(Backend::Netfwd);
                }
            )*
            $(
                #[test]
                #[ignore = "needs root and BPF: cargo xtask test"]
                fn $better() {
                    super::$better(Backend::Netfwd);
                }
            )*
        }

        /// By the name of what netfwd does.
        mod instead_over_nft {
            $(
                #[test]
                #[ignore = "needs root and BPF: cargo xtask test"]
                fn $better() {
                    super::$nft();
                }
            )*
        }

        /// Each scenario that only netfwd passes, and what nftables does instead.
        pub(super) const BETTER: &[(&str, &str)] = &[$((stringify!($better), $instead)),*];
    };
}
use scenarios;

#[test]
fn the_documentation_lists_what_netfwd_does_better() {
    let documentation = include_str!("../../../../docs/oracle.md");
    let files = [
        ("bindings", bindings::BETTER),
        ("changes", changes::BETTER),
        ("exhaustion", exhaustion::BETTER),
        ("fragments", fragments::BETTER),
        ("hairpin", hairpin::BETTER),
        ("icmp", icmp::BETTER),
        ("moby", moby::BETTER),
        ("mtu", mtu::BETTER),
        ("protocols", protocols::BETTER),
        ("tcp", tcp::BETTER),
        ("uplinks", uplinks::BETTER),
    ];
    for (file, scenarios) in files {
        for (scenario, instead) in scenarios {
            let row = format!("| `{file}::{scenario}` | {instead} |");
            assert!(documentation.contains(&row), "docs/oracle.md lacks this row:\n{row}");
        }
    }
}

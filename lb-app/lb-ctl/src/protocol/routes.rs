//! Attached networks and static routes.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// All routes.
    List,
    /// A new static route.
    Add {
        /// Where to.
        #[schemars(with = "String")]
        to: IpNet,
        /// The router, which is on an attached network, or behind `interface`.
        via: IpAddr,
        /// The name of the interface or port that the router is behind, where no network says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
    },
    /// Remove a static route.
    Remove {
        /// Where to.
        #[schemars(with = "String")]
        to: IpNet,
        /// The router; needed only if there are several.
        #[serde(default)]
        via: Option<IpAddr>,
    },
}

/// Routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Routes {
    /// Attached networks first, then static routes.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Where to.
    #[schemars(with = "String")]
    pub to: IpNet,
    /// The router; none for attached networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The name of the interface, which is that of the port where frames are untagged; none if the router is not on an attached network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The director's own address there, for attached networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

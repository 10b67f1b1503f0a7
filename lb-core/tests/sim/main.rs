//! The load balancer in a simulated network: clients and servers are smoltcp's TCP, the network between them may lose,
//! double and delay frames, and time passes only when something happens.
//!
//! The stories are in the modules at the end of the list; the others make the world they take place in.

mod device;
mod director;
mod frames;
mod host;
mod network;
mod pieces;
mod setup;
mod talk;
mod world;

mod aborting;
mod bulk;
mod dcc;
mod fragmented;
mod ftp;
mod many;
mod one_arm;
mod opening_and_closing;
mod outward;
mod owning;
mod restarting;
mod reusing;
mod rtsp;
mod sip;
mod udp;
mod weather;

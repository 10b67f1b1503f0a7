//! Peers: other directors with the same services, that tell one another of exceptions.
//!
//! With a hashing scheduler any director finds the server of a connection that was opened elsewhere by itself, unless the
//! table has changed since. So peers are told of those established connections only whose server is *not* today's
//! choice; where a scheduler does not hash, or a connection has a local port, of all that are older than
//! [`exception::OLD_ENOUGH`]. Who does not answer for a VIP any more tells its younger ones, too.
//!
//! * [`own`]: this director's exceptions, in the order in which they changed.
//! * [`client`]: clients of persistent services, which are told in the same order.
//! * [`told`]: peers' exceptions, in a table of fixed size that workers ask when they have no connection.
//! * [`datagram`] and [`seal`]: what goes over the network. `challenge`: who runs now. [`session`] and [`Machine`](machine::Machine): when, and what
//!   is believed. Datagrams and time come in, datagrams go out; nothing here has a socket.
//! * [`ipvs`]: the same with directors that speak another protocol and run another load balancer.

mod challenge;
pub mod client;
pub mod datagram;
pub mod exception;
pub mod ipvs;
pub mod machine;
pub mod own;
pub mod seal;
pub mod session;
pub mod told;

//! The addresses and ports of the world.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The director on the wan.
pub const DIRECTOR_WAN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The director on the lan: the servers' gateway under NAT, and the near end of tunnels.
pub const DIRECTOR_LAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Where the kernel's health checks leave from on the lan.
pub const CHECKS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The router, everybody's default gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The far client.
pub const FAR_CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The router's other side.
pub(super) const FAR_GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
/// MTU between the router and the far client.
pub const FAR_MTU: u32 = 1280;
/// Virtual address of services forwarded by NAT.
pub const VIP_NAT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// Virtual address of services forwarded by TUN.
pub const VIP_TUN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 101);
/// Virtual address of services forwarded by DR.
pub const VIP_DR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 102);
/// Virtual address of services forwarded by FullNAT.
pub const VIP_FULLNAT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 103);
/// Virtual address of services forwarded by L3DSR.
pub const VIP_L3DSR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 105);
/// What stands for it, and for that of IPv6, at servers.
pub const DSCP: u8 = 11;
/// The server with a kernel of its own, on the lan.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 13);
/// A client on the wan with that kernel.
pub const GUEST_CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);
/// The same in IPv6.
pub const GUEST_CLIENT6: Ipv6Addr = wan6(0x30);
/// The server with a kernel of its own, on the wan.
pub(super) const GUEST_WAN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 23);
/// The server beyond a router on the lan.
pub const BEYOND: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 14);
/// That router's two addresses.
pub const LAN_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
pub(super) const BEYOND_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 254);
/// The same in IPv6.
pub const LAN_ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x254);
pub(super) const BEYOND_ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 0x254);
/// What servers see in the place of clients under FullNAT, on the lan.
pub const LOCALS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 200), Ipv4Addr::new(198, 51, 100, 201)];
/// The client's address of IPv6.
pub const CLIENT6: Ipv6Addr = wan6(0x10);
/// The director on the wan, in IPv6.
pub const DIRECTOR_WAN6: Ipv6Addr = wan6(1);
/// The director on the lan, in IPv6.
pub const DIRECTOR_LAN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
/// The router, in IPv6.
pub const GATEWAY6: Ipv6Addr = wan6(0x254);
/// The far client, in IPv6.
pub const FAR_CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10);
/// The router's other side, in IPv6.
pub(super) const FAR_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x254);
/// Virtual address of IPv6 of services forwarded by NAT.
pub const VIP6_NAT: Ipv6Addr = wan6(0x100);
/// Virtual address of IPv6 of services forwarded by TUN.
pub const VIP6_TUN: Ipv6Addr = wan6(0x101);
/// Virtual address of IPv6 of services forwarded by DR.
pub const VIP6_DR: Ipv6Addr = wan6(0x102);
/// Virtual address of IPv6 of services forwarded by FullNAT.
pub const VIP6_FULLNAT: Ipv6Addr = wan6(0x103);
/// Virtual address of IPv6 of services forwarded by L3DSR.
pub const VIP6_L3DSR: Ipv6Addr = wan6(0x105);
/// What servers see in the place of clients under FullNAT, in IPv6.
pub const LOCALS6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x200), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x201)];
/// HTTP on a VIP, and on servers behind TUN, DR and L3DSR.
pub const HTTP: u16 = 80;
/// HTTP on servers behind NAT.
pub const HTTP_BEHIND_NAT: u16 = 8080;
/// UDP echo on a VIP, and on servers behind TUN, DR and L3DSR.
pub const ECHO: u16 = 7;
/// UDP echo on servers behind NAT.
pub const ECHO_BEHIND_NAT: u16 = 7007;

const fn wan6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host)
}

/// The address of IPv6 that a server has on the lan beside its address of IPv4.
#[must_use]
pub fn server6_of(lan: Ipv4Addr) -> Ipv6Addr {
    let [_, second, _, host] = lan.octets();
    let network = if second == BEYOND.octets()[1] { 3 } else { 2 };
    // It reads as the other one does: .11 and ::11.
    Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, 0x10 + u16::from(host) - 10)
}

/// The address of IPv6 on the wan of a server with that address on the lan.
pub(crate) fn wan6_beside(lan: Ipv4Addr) -> Ipv6Addr {
    let [.., host] = lan.octets();
    wan6(0x20 + u16::from(host) - 10)
}

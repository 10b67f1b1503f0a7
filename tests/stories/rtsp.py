"""A server of RTSP: rtsp.py ADDRESS PORT FIRST LAST MEDIA. Media leaves from the address and ports FIRST to LAST."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

address, port, first, last, media = sys.argv[1:]
Gst.init(None)
pool = GstRtspServer.RTSPAddressPool.new()
pool.add_range(address, address, int(first), int(last), 0)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_address_pool(pool)
factory.set_launch(media)
server = GstRtspServer.RTSPServer()
server.set_address(address)
server.set_service(port)
server.get_mount_points().add_factory("/film", factory)
if server.attach(None) == 0:
    sys.exit(f"cannot listen at {address}, port {port}")
print("listens", flush=True)
GLib.MainLoop().run()

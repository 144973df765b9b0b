#!/usr/bin/env python3
"""health.py SECONDS IP [VERSION]: waits until frontend and history of one node are SERVING, and the frontend says VERSION.

For the hop by hand: what Refit's health steps look at, asked through the SDK's own client."""
import asyncio
import os
import sys
import time

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.service import ConnectConfig, ServiceClient

PREFIX = "temporal.api.workflowservice.v1."


async def look(ip, version):
    async def client(port):
        return await ServiceClient.connect(ConnectConfig(target_host=f"{ip}:{port}", lazy=True))

    frontend = await client(7233)
    if version:
        info = await frontend.workflow_service.get_system_info(GetSystemInfoRequest())
        if info.server_version != version:
            return f"version {info.server_version}"
    for port, name in (7233, "WorkflowService"), (7234, "HistoryService"):
        if not await (await client(port)).check_health(service=PREFIX + name):
            return f"{name} not serving"
    return None


async def main():
    within, ip = float(sys.argv[1]), sys.argv[2]
    version = sys.argv[3] if len(sys.argv) > 3 else None
    began, seen = time.monotonic(), "no answer"
    while time.monotonic() - began < within:
        try:
            seen = await asyncio.wait_for(look(ip, version), 3)
        except Exception as error:  # the node is away right now
            seen = repr(error)
        if seen is None:
            return 0
        await asyncio.sleep(0.2)
    print(f"{ip}: {seen} after {within:.0f} s", file=sys.stderr)
    return 1


status = asyncio.run(main())
sys.stderr.flush()
os._exit(status)  # the SDK's threads can abort a normal interpreter exit

#!/usr/bin/env python3
"""rings.py ROLE=COUNT[,…] IP…: what every frontend sees: members of each ring, by AdminService/DescribeCluster through gRPC
reflection. Prints them; exit status 1 if one sees other counts, or other members than the next."""
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "temporal.server.api.adminservice.v1.AdminService"


def describe(target):
    with grpc.insecure_channel(target) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(SERVICE).FindMethodByName("DescribeCluster")
        ask = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(f"/{SERVICE}/DescribeCluster", request_serializer=ask.SerializeToString, response_deserializer=answer.FromString)
        return call(ask(), timeout=5)


def main():
    expected = {role: int(count) for role, count in (pair.split("=") for pair in sys.argv[1].split(","))}
    seen, bad = [], False
    for ip in sys.argv[2:]:
        rings = {ring.role: sorted(member.identity for member in ring.members) for ring in describe(f"{ip}:7233").membership_info.rings}
        counts = {role: len(members) for role, members in rings.items() if members}
        print(f"rings as {ip} sees them: {counts}")
        bad = bad or counts != expected
        seen.append(rings)
    sys.exit(bad or any(rings != seen[0] for rings in seen))


main()

"""Mutual TLS admits a client whose certificate is of the service's authority, and nobody else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from counting import ANSWER, CountingEngine

from glasses.errors import Reason, RemoteError
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Service


def context(trusts: trustme.CA, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context()
    trusts.configure_trust(made)
    if certificate:
        certificate.configure_cert(made)
    return made


async def answer(address: str, tls: ssl.SSLContext) -> str:
    async with Client(WebSocket(address, tls=tls), resume_s=0.0) as client:
        session = await client.open()
        await session.feed("Count!")
        return "".join([piece.text async for piece in session.generate(max_tokens=100)])


def test_service_mutual_tls_admits_only_certificates_of_its_authority(tmp_path: Path) -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    service = ours.issue_cert("127.0.0.1")
    service.private_key_and_cert_chain_pem.write_to_path(tmp_path / "service.pem")
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    listen = Listen(
        "127.0.0.1:0", None, tmp_path / "service.pem", tmp_path / "service.pem", client_ca=tmp_path / "ca.pem"
    )

    async def scenario() -> None:
        async with serving(Service(CountingEngine, backend="counting"), listen) as running:
            assert await answer(running.address, context(ours, ours.issue_cert("glasses.example"))) == ANSWER
            for refused in (None, strangers.issue_cert("glasses.example")):
                with pytest.raises(RemoteError) as caught:
                    await answer(running.address, context(ours, refused))
                assert "client certificates" in str(caught.value)
            with pytest.raises(RemoteError) as caught:  # the service is not whom the client trusts
                await answer(running.address, context(strangers, ours.issue_cert("glasses.example")))
            assert caught.value.reason is Reason.REFUSED

    asyncio.run(scenario())

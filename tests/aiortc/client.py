"""client.py JSON: aiortc against a taut server, cell by cell.

The JSON says `url`, `connects`, `messages`, `seconds` and `cells`, each with a `task` ("echo" or "clip") and a `role`
("offers" or "answers"). Every cell connects `connects` times in a row; each time data and media must flow, and the
session must be freed after. The first connection of a cell also carries `messages` messages and is watched for
`seconds`. Prints a line `CELL {json}` a cell, as the browser scenario `matrix` does.
"""

import asyncio
import json
import math
import re
import struct
import sys
import time
import urllib.error
import urllib.request
from fractions import Fraction

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

WAIT = 60.0
GOODBYE = 20.0
"""How long a session may last after a goodbye: less than the 30 s without an answer that end it anyway."""
SETUPS = ["actpass", "active", "passive"]
LEVELS = [40, 90, 140, 190]
"""The shades of grey that the sent picture goes through: what comes back must be one of them."""


class Grey(MediaStreamTrack):
    """A picture of one shade, 30 times a second; the shade changes every half second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(max(0.0, self.started + self.count / 30 - time.monotonic()))
        frame = av.VideoFrame(320, 240, "yuv420p")
        for plane, value in zip(frame.planes, (LEVELS[self.count // 15 % len(LEVELS)], 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts, frame.time_base = self.count * 3000, Fraction(1, 90_000)
        self.count += 1
        return frame


class Tone(MediaStreamTrack):
    """A tone of 440 Hz, 48,000 samples a second."""

    kind = "audio"
    SAMPLES = 960

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.count = 0

    async def recv(self) -> av.AudioFrame:
        first = self.count * self.SAMPLES
        await asyncio.sleep(max(0.0, self.started + first / 48_000 - time.monotonic()))
        samples = (round(8000 * math.sin(2 * math.pi * 440 * (first + i) / 48_000)) for i in range(self.SAMPLES))
        frame = av.AudioFrame("s16", "mono", self.SAMPLES)
        frame.planes[0].update(struct.pack(f"<{self.SAMPLES}h", *samples))
        frame.pts, frame.sample_rate, frame.time_base = first, 48_000, Fraction(1, 48_000)
        self.count += 1
        return frame


class Picture:
    """What came of a video track."""

    def __init__(self) -> None:
        self.decoded = 0
        self.first = self.last = None
        self.strange = 0

    def take(self, frame: av.VideoFrame) -> None:
        self.decoded += 1
        self.first, self.last = self.first or frame.pts, frame.pts
        centre = bytes(frame.planes[0])[frame.planes[0].line_size * (frame.height // 2) + frame.width // 2]
        self.strange += min(abs(centre - level) for level in LEVELS) > 8


class Sound:
    """What came of an audio track."""

    def __init__(self) -> None:
        self.frames = 0
        self.loudest = 0

    def take(self, frame: av.AudioFrame) -> None:
        self.frames += 1
        samples = bytes(frame.planes[0])
        self.loudest = max(self.loudest, *(abs(value) for (value,) in struct.iter_unpack("<h", samples[:960])))


async def until(what: str, probe) -> None:
    end = time.monotonic() + WAIT
    while not probe():
        if time.monotonic() > end:
            raise RuntimeError(f"no {what} within {WAIT} s")
        await asyncio.sleep(0.01)


async def request(method: str, url: str, body: str, expected: int) -> tuple[str, str]:
    """Sends a request; gives the body and the location of the answer."""

    def send() -> tuple[str, str]:
        outgoing = urllib.request.Request(url, body.encode(), {"Content-Type": "application/sdp"}, method=method)
        try:
            with urllib.request.urlopen(outgoing, timeout=WAIT) as answer:
                status, text, headers = answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, headers = error.code, error.read().decode(), error.headers
        if status != expected:
            raise RuntimeError(f"{method} {url}: status {status}: {text}")
        return text, headers.get("Location", "")

    return await asyncio.to_thread(send)


def with_setup(sdp: str, setup: str) -> str:
    return re.sub(r"^a=setup:\w+", f"a=setup:{setup}", sdp, flags=re.MULTILINE)


def setup_of(sdp: str) -> str:
    return re.search(r"^a=setup:(\w+)", sdp, re.MULTILINE).group(1)


async def offers(pc, url, task, setup):
    """The client offers; the offer may leave the DTLS roles open or settle them."""
    for track in (Grey(), Tone()):
        if task == "echo":
            pc.addTrack(track)
        else:
            pc.addTransceiver(track.kind, direction="recvonly")
    channel = pc.createDataChannel("matrix")
    await pc.setLocalDescription(await pc.createOffer())
    answer, location = await request("POST", f"{url}{task}", with_setup(pc.localDescription.sdp, setup), 201)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return channel, location, "passive" if setup_of(answer) == "active" else "active"


async def answers(pc, url, task, setup):
    """The server offers."""
    offer, location = await request("POST", f"{url}{task}", "", 201)
    await pc.setRemoteDescription(RTCSessionDescription(with_setup(offer, setup), "offer"))
    if task == "echo":
        pc.addTrack(Grey())
        pc.addTrack(Tone())
    channel = pc.createDataChannel("matrix")
    await pc.setLocalDescription(await pc.createAnswer())
    answer = pc.localDescription.sdp
    await request("PATCH", f"{url.rstrip('/')}{location}", answer, 204)
    return channel, location, setup_of(answer)


def message(i: int) -> bytes:
    size = 60_000 if i == 1 else 1 + (i * 7919) % 60_000
    return bytes((k * 31 + i) & 255 for k in range(256)) * (size // 256) + bytes((k * 31 + i) & 255 for k in range(size % 256))


async def exchange(channel, count: int) -> int:
    """Sends messages and takes the echoes; gives how many came back equal and in order."""
    await until("open channel", lambda: channel.readyState == "open")
    received, wrong = 0, []

    @channel.on("message")
    def on_message(data) -> None:
        nonlocal received
        if data != message(received):
            wrong.append(received)
        received += 1

    for i in range(count):
        channel.send(message(i))
    await until(f"echo of {count} messages", lambda: received >= count or wrong)
    if wrong:
        raise RuntimeError(f"message {wrong[0]} is not what was sent")
    return received


async def lost(pc, kind: str) -> int:
    report = await pc.getStats()
    return sum(entry.packetsLost for entry in report.values() if entry.type == "inbound-rtp" and entry.kind == kind)


async def connect(url: str, task: str, role: str, turn: int, messages: int, seconds: float) -> dict:
    started = time.monotonic()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # without this, it asks a server in the internet
    sinks = {"video": Picture(), "audio": Sound()}
    readers = []

    async def read(track) -> None:
        try:
            while True:
                sinks[track.kind].take(await track.recv())
        except MediaStreamError:
            pass  # the track has ended

    pc.on("track", lambda track: readers.append(asyncio.ensure_future(read(track))))
    location = ""
    try:
        channel, location, setup = await {"offers": offers, "answers": answers}[role](pc, url, task, SETUPS[turn % 3])
        await until("connection", lambda: pc.connectionState == "connected")
        seen = {"milliseconds": (time.monotonic() - started) * 1000, "setup": setup}
        seen["messages"] = await exchange(channel, messages)
        await until("picture", lambda: sinks["video"].decoded)
        await until("sound", lambda: sinks["audio"].frames)
        if seconds:
            picture, sound = sinks["video"], sinks["audio"] = Picture(), Sound()
            began = time.monotonic()
            await asyncio.sleep(seconds)
            await until("two pictures and a sound", lambda: picture.decoded > 1 and sound.frames)
            clock = time.monotonic() - began
            media = (picture.last - picture.first) / 90_000
            seen["video"] = {"decoded": picture.decoded - 1, "media": media, "clock": clock, "lost": await lost(pc, "video")}
            energy = (sound.loudest / 32768) ** 2
            seen["audio"] = {"packets": sound.frames, "lost": await lost(pc, "audio"), "energy": energy, "clock": clock}
            if task == "echo" and picture.strange:
                raise RuntimeError(f"{picture.strange} of {picture.decoded} pictures are not what was sent")
        return seen
    finally:
        # Both ways of ending in turn: at the server, and with nothing but the connection's own goodbye.
        if location and turn % 2:
            await request("DELETE", f"{url.rstrip('/')}{location}", "", 200)
        await pc.close()
        for reader in readers:
            reader.cancel()


async def freed(url: str) -> None:
    end = time.monotonic() + GOODBYE
    while json.loads((await request("GET", f"{url}sessions", "", 200))[0])["open"]:
        if time.monotonic() > end:
            raise RuntimeError(f"the session is not freed within {GOODBYE} s")
        await asyncio.sleep(0.05)


async def cell(options: dict, task: str, role: str) -> dict:
    result = {"task": task, "role": role, "connected": 0, "setups": {}, "milliseconds": [], "failures": []}
    for turn in range(options["connects"]):
        first = turn == 0
        messages, seconds = (options["messages"], options["seconds"]) if first else (1, 0)
        try:
            seen = await connect(options["url"], task, role, turn, messages, seconds)
            await freed(options["url"])
        except Exception as error:  # told in the result, and the next connection is tried
            result["failures"].append(f"connection {turn + 1}: {type(error).__name__}: {error}")
            continue
        result["connected"] += 1
        result["milliseconds"].append(round(seen["milliseconds"]))
        result["setups"][seen["setup"]] = result["setups"].get(seen["setup"], 0) + 1
        if first:
            result.update({key: seen[key] for key in ("messages", "video", "audio")})
    return result


async def main() -> None:
    options = json.loads(sys.argv[1])
    for each in options["cells"]:
        print(f"CELL {json.dumps(await cell(options, each['task'], each['role']))}", flush=True)


asyncio.run(main())

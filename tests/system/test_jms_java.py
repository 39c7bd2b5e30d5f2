"""The hub and JMS programs in Java meet at a broker: who asks, who hears, who owns the trouble tickets."""

import re

from tests.support.java_peers import SOURCES, JavaPeers


def test_the_peer_knows_nothing_but_javax_jms(java_peers: JavaPeers) -> None:
    """A peer that used the broker's own classes would show nothing about JMS."""
    imports = {
        found
        for source in SOURCES.glob("*.java")
        for found in re.findall(r"^import ([\w.]+);", source.read_text(), re.MULTILINE)
    }
    foreign = {one for one in imports if not one.startswith(("java.", "javax.", "org.w3c.dom.", "org.xml.sax."))}
    assert foreign == set()
    assert {one.name for one in java_peers.classes.glob("*.class")} >= {"CisClient.class", "OmsServer.class"}

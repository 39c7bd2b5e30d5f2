"""The Java peer of the codec benchmark: JAXB unmarshal with schema validation, on the same payload and the same XSD.

Needs a JDK and Debian's libjaxb-java; `measure_jaxb` answers None where they are not at hand.
"""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

__all__ = ["measure_jaxb"]

JARS = Path("/usr/share/java")
NEEDED = ("jaxb-xjc.jar", "jaxb-runtime.jar", "jaxb-core.jar", "jaxb-api.jar")

HARNESS = """
import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Paths;
import javax.xml.XMLConstants;
import javax.xml.bind.JAXBContext;
import javax.xml.bind.Unmarshaller;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.Schema;
import javax.xml.validation.SchemaFactory;

public class Harness {
    public static void main(String[] args) throws Exception {
        byte[] raw = Files.readAllBytes(Paths.get(args[0]));
        Schema schema = SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI).newSchema(new File(args[1]));
        Unmarshaller unmarshaller = JAXBContext.newInstance("generated").createUnmarshaller();
        unmarshaller.setSchema(schema);
        double best = Double.MAX_VALUE;
        for (int round = 0; round < 30; round++) {
            int count = 2000;
            long started = System.nanoTime();
            for (int i = 0; i < count; i++) {
                Object value = unmarshaller.unmarshal(new StreamSource(new ByteArrayInputStream(raw)));
                if (value == null) throw new IllegalStateException();
            }
            best = Math.min(best, (System.nanoTime() - started) / 1000.0 / count);
        }
        System.out.println(best);
    }
}
"""


def measure_jaxb(payload: bytes, folder: Path) -> float | None:
    """Microseconds a message, best of 30 warm rounds of 2,000; None without JDK 17 and JAXB."""
    if shutil.which("javac") is None or not all((JARS / name).exists() for name in NEEDED):
        return None
    path = ":".join(str(jar) for jar in JARS.glob("*.jar") if not jar.name[-5].isdigit() or "-" not in jar.name)
    work = folder / "jaxb"
    (work / "classes").mkdir(parents=True)
    schema = work / "TroubleTickets.xsd"
    schema.write_bytes((files("cimcare.schema") / "xsd" / "2013" / "TroubleTickets.xsd").read_bytes())
    (work / "payload.xml").write_bytes(payload)
    (work / "Harness.java").write_text(HARNESS)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)
        return done.stdout

    run("java", "-cp", path, "com.sun.tools.xjc.Driver", "-quiet", "-p", "generated", "-d", str(work), str(schema))
    sources = [str(file) for file in work.rglob("*.java")]
    run("javac", "-nowarn", "-cp", path, "-d", str(work / "classes"), *sources)
    printed = run("java", "-cp", f"{work / 'classes'}:{path}", "Harness", "payload.xml", str(schema))
    return float(printed.split()[-1])

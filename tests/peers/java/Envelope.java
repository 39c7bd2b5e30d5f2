import java.io.StringReader;
import java.io.StringWriter;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.OutputKeys;
import javax.xml.transform.Transformer;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.xml.sax.InputSource;

/** A message of IEC 61968-100 as a document, read and written with what the JDK has. */
final class Envelope {
    static final String MESSAGE = "http://iec.ch/TC57/2011/schema/message";

    private final Document document;

    private Envelope(Document document) {
        this.document = document;
    }

    static Envelope read(String text) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        return new Envelope(factory.newDocumentBuilder().parse(new InputSource(new StringReader(text))));
    }

    /** An empty message with a header; `correlationId` may be null. */
    static Envelope write(
            String root, String verb, String noun, String source, String context, String messageId, String correlationId)
            throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Envelope envelope = new Envelope(factory.newDocumentBuilder().newDocument());
        Element top = envelope.document.createElementNS(MESSAGE, root);
        envelope.document.appendChild(top);
        Element header = envelope.add(top, "Header", null);
        envelope.add(header, "Verb", verb);
        envelope.add(header, "Noun", noun);
        envelope.add(header, "Revision", "1");
        envelope.add(header, "Context", context);
        envelope.add(header, "Timestamp", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString());
        envelope.add(header, "Source", source);
        envelope.add(header, "MessageID", messageId);
        envelope.add(header, "CorrelationID", correlationId);
        return envelope;
    }

    String root() {
        return document.getDocumentElement().getLocalName();
    }

    /** Text of a member of the header, null if it is not there. */
    String header(String name) {
        return textOf(childOf(childOf(document.getDocumentElement(), "Header"), name));
    }

    /** Result of a reply, null if this is none. */
    String result() {
        return textOf(childOf(childOf(document.getDocumentElement(), "Reply"), "Result"));
    }

    /** Code of the first error of a reply, null if there is none. */
    String code() {
        Element error = childOf(childOf(document.getDocumentElement(), "Reply"), "Error");
        return textOf(childOf(error, "code"));
    }

    /** Identifiers in the section: Request, Reply or Payload. */
    List<String> ids(String section) {
        List<String> found = new ArrayList<>();
        Element within = childOf(document.getDocumentElement(), section);
        for (Element id : within == null ? List.<Element>of() : childrenOf(within)) {
            if (id.getLocalName().equals("ID")) {
                found.add(id.getTextContent().trim());
            }
        }
        return found;
    }

    /** The objects of the payload: the children of the element of its noun. */
    List<Element> objects() {
        List<Element> found = new ArrayList<>();
        Element payload = childOf(document.getDocumentElement(), "Payload");
        for (Element part : payload == null ? List.<Element>of() : childrenOf(payload)) {
            if (!MESSAGE.equals(part.getNamespaceURI())) {
                found.addAll(childrenOf(part));
            }
        }
        return found;
    }

    static String mridOf(Element object) {
        return textOf(childOf(object, "mRID"));
    }

    /** Add a Reply; the code says more than the result. */
    void reply(String result, String code, List<String> ids) {
        Element reply = add(document.getDocumentElement(), "Reply", null);
        add(reply, "Result", result);
        add(add(reply, "Error", null), "code", code);
        ids.forEach(id -> add(reply, "ID", id));
    }

    /** Add the Request section of a query or transaction by identifier. */
    void request(List<String> ids) {
        Element request = add(document.getDocumentElement(), "Request", null);
        ids.forEach(id -> add(request, "ID", id));
    }

    /** Add a payload of these objects in an element of the noun; by identifier alone where there are none. */
    void payload(String noun, List<Element> objects, List<String> ids) {
        Element payload = add(document.getDocumentElement(), "Payload", null);
        if (objects.isEmpty()) {
            ids.forEach(id -> add(payload, "ID", id));
            return;
        }
        Element top = document.createElementNS(objects.get(0).getNamespaceURI(), noun);
        payload.appendChild(top);
        objects.forEach(object -> top.appendChild(document.importNode(object, true)));
    }

    /** A payload of one object that has these members, names and texts in turn; `Hazards/type` is a member's member. */
    void payload(String namespace, String noun, String object, String... members) {
        Element payload = add(document.getDocumentElement(), "Payload", null);
        Element top = document.createElementNS(namespace, noun);
        Element one = document.createElementNS(namespace, object);
        payload.appendChild(top);
        top.appendChild(one);
        for (int at = 0; at < members.length; at += 2) {
            Element parent = one;
            for (String name : members[at].split("/")) {
                Element member = document.createElementNS(namespace, name);
                parent.appendChild(member);
                parent = member;
            }
            parent.setTextContent(members[at + 1]);
        }
    }

    String text() throws Exception {
        Transformer transformer = TransformerFactory.newInstance().newTransformer();
        transformer.setOutputProperty(OutputKeys.OMIT_XML_DECLARATION, "yes");
        StringWriter out = new StringWriter();
        transformer.transform(new DOMSource(document), new StreamResult(out));
        return out.toString();
    }

    private Element add(Element parent, String name, String text) {
        Element child = document.createElementNS(MESSAGE, name);
        if (text != null) {
            child.setTextContent(text);
        }
        if (text != null || !parent.getLocalName().equals("Header")) {
            parent.appendChild(child);
        }
        return child;
    }

    private static List<Element> childrenOf(Element parent) {
        List<Element> found = new ArrayList<>();
        for (Node node = parent.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (node instanceof Element) {
                found.add((Element) node);
            }
        }
        return found;
    }

    private static Element childOf(Element parent, String name) {
        for (Element child : parent == null ? List.<Element>of() : childrenOf(parent)) {
            if (child.getLocalName().equals(name)) {
                return child;
            }
        }
        return null;
    }

    private static String textOf(Element element) {
        return element == null ? null : element.getTextContent().trim();
    }
}

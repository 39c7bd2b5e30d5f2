import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TextMessage;
import javax.jms.TransactionRolledBackException;
import org.w3c.dom.Element;

/**
 * An owner of nouns. Order: serve (destination, events, context, source, threads), which lasts; objects.
 *
 * <p>It takes a request, answers to JMSReplyTo and publishes the event, in one transaction of its session. A request
 * that comes again gets the same answer and has no second effect. News: `request`, each time one came.
 */
public final class OmsServer {
    private static final Map<String, String> EVENTS = Map.of(
            "create", "created", "change", "changed", "cancel", "canceled", "close", "closed", "delete", "deleted");

    private final Console console = new Console();
    private final Map<String, Element> objects = new ConcurrentHashMap<>();
    private final Map<String, Done> done = new ConcurrentHashMap<>();
    private String source;
    private String context;
    private String events;

    /** What became of a request. */
    private static final class Done {
        private final Envelope reply;
        private final Envelope event;

        private Done(Envelope reply, Envelope event) {
            this.reply = reply;
            this.event = event;
        }
    }

    public static void main(String[] arguments) throws Exception {
        OmsServer server = new OmsServer();
        server.console.take(server::carryOut);
        System.exit(0);
    }

    private Map<String, String> carryOut(String order, Map<String, String> fields) throws Exception {
        switch (order) {
            case "serve":
                return serve(fields);
            case "objects":
                return Map.of("mrids", String.join(" ", objects.keySet()));
            default:
                throw new IllegalArgumentException(order);
        }
    }

    private Map<String, String> serve(Map<String, String> fields) throws Exception {
        source = fields.get("source");
        context = fields.getOrDefault("context", "TESTING");
        events = fields.get("events");
        Connection connection = Messages.factory().createConnection();
        connection.start();
        for (int at = 0; at < Integer.parseInt(fields.getOrDefault("threads", "2")); at++) {
            Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
            MessageConsumer consumer =
                    session.createConsumer(Messages.destination(session, fields.get("destination")));
            new Thread(() -> work(session, consumer)).start();
        }
        return Map.of();
    }

    private void work(Session session, MessageConsumer consumer) {
        while (true) {
            try {
                Message message = consumer.receive();
                if (message == null) {
                    return; // the connection was closed
                }
                answer(session, message);
                session.commit();
            } catch (TransactionRolledBackException error) {
                console.tell("trouble", Map.of("text", error.toString())); // it comes again
            } catch (Exception error) {
                console.tell("trouble", Map.of("text", error.toString()));
                try {
                    session.rollback();
                } catch (JMSException worse) {
                    return;
                }
            }
        }
    }

    private void answer(Session session, Message message) throws Exception {
        Envelope request = Envelope.read(((TextMessage) message).getText());
        String key = request.header("Source") + " " + request.header("MessageID");
        boolean isEffect;
        Done outcome;
        synchronized (done) {
            isEffect = !done.containsKey(key);
            if (isEffect) {
                done.put(key, handle(request));
            }
            outcome = done.get(key);
        }
        Map<String, String> news = new LinkedHashMap<>(Messages.describe(message));
        news.put("messageID", request.header("MessageID"));
        news.put("verb", request.header("Verb"));
        news.put("noun", request.header("Noun"));
        news.put("source", request.header("Source"));
        news.put("isEffect", Boolean.toString(isEffect));
        console.tell("request", news);
        Destination replyTo = message.getJMSReplyTo();
        if (replyTo != null) {
            TextMessage reply = Messages.of(session, outcome.reply);
            String correlation = message.getJMSCorrelationID();
            reply.setJMSCorrelationID(correlation != null ? correlation : message.getJMSMessageID());
            send(session, replyTo, reply);
        }
        if (outcome.event != null && events != null) {
            String topic = events + "." + outcome.event.header("Noun") + "." + outcome.event.header("Verb");
            send(session, session.createTopic(topic), Messages.of(session, outcome.event));
        }
    }

    private static void send(Session session, Destination destination, Message message) throws JMSException {
        MessageProducer producer = session.createProducer(destination);
        try {
            producer.setDeliveryMode(DeliveryMode.PERSISTENT);
            producer.send(message);
        } finally {
            producer.close();
        }
    }

    private Done handle(Envelope request) throws Exception {
        String verb = request.header("Verb");
        String noun = request.header("Noun");
        List<Element> given = request.objects();
        List<String> ids = new ArrayList<>(request.ids("Request"));
        given.forEach(object -> ids.add(Envelope.mridOf(object)));
        String correlation =
                request.header("CorrelationID") != null ? request.header("CorrelationID") : request.header("MessageID");
        Envelope reply = Envelope.write("ResponseMessage", "reply", noun, source, context, newId(), correlation);
        if (verb.equals("get")) {
            List<Element> found = new ArrayList<>();
            ids.stream().filter(objects::containsKey).forEach(id -> found.add(objects.get(id)));
            reply.reply("OK", "0.0", List.of());
            reply.payload(noun, found, List.of());
            return new Done(reply, null);
        }
        boolean isKnown = objects.keySet().containsAll(ids);
        if (!EVENTS.containsKey(verb) || verb.equals("create") == isKnown) {
            reply.reply("FAILED", EVENTS.containsKey(verb) ? "2.15" : "2.9", List.of());
            return new Done(reply, null);
        }
        given.forEach(object -> objects.put(Envelope.mridOf(object), object));
        if (verb.equals("delete")) {
            ids.forEach(objects::remove);
        }
        reply.reply("OK", "0.0", ids);
        Envelope event =
                Envelope.write("EventMessage", EVENTS.get(verb), noun, source, context, newId(), correlation);
        event.payload(noun, given, ids);
        return new Done(reply, event);
    }

    private static String newId() {
        return UUID.randomUUID().toString();
    }
}

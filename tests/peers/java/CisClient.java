import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TextMessage;

/**
 * A customer system. Orders: connect (clientID), disconnect, create, ask, send, receive, subscribe, unsubscribe.
 *
 * <p>News: `event`, a message on a durable subscription.
 */
public final class CisClient {
    private static final String TICKETS = "http://iec.ch/TC57/2014/TroubleTickets#";
    private static final String SOURCE = "JAVA-CIS";

    private final Console console = new Console();
    private final ThreadLocal<Asking> askings = new ThreadLocal<>();
    private volatile Connection connection;

    /** A session with a queue of replies of its own. */
    private static final class Asking {
        private final Connection connection;
        private final Session session;
        private final TemporaryQueue replies;
        private final MessageConsumer consumer;

        private Asking(Connection connection) throws JMSException {
            this.connection = connection;
            session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            replies = session.createTemporaryQueue();
            consumer = session.createConsumer(replies);
        }

        /** The reply to a request, null if there is none in time. One that is late, to another request, is dropped. */
        private Message replyTo(Message request, long milliseconds) throws JMSException {
            String own = request.getJMSCorrelationID();
            String expected = own != null ? own : request.getJMSMessageID();
            long until = System.currentTimeMillis() + milliseconds;
            for (long left = milliseconds; left > 0; left = until - System.currentTimeMillis()) {
                Message reply = consumer.receive(left);
                if (reply == null || expected.equals(reply.getJMSCorrelationID())) {
                    return reply;
                }
            }
            return null;
        }
    }

    public static void main(String[] arguments) throws Exception {
        CisClient client = new CisClient();
        client.console.take(client::carryOut);
        System.exit(0);
    }

    private Map<String, String> carryOut(String order, Map<String, String> fields) throws Exception {
        switch (order) {
            case "connect":
                return connect(fields.get("clientID"));
            case "disconnect":
                connection.close();
                return Map.of();
            case "create":
                return create(fields);
            case "ask":
                return ask(fields);
            case "send":
                return send(fields);
            case "receive":
                return receive(fields);
            case "subscribe":
                return subscribe(fields);
            case "unsubscribe":
                return unsubscribe(fields.get("name"));
            default:
                throw new IllegalArgumentException(order);
        }
    }

    private Map<String, String> connect(String clientId) throws Exception {
        Connection fresh = Messages.factory().createConnection();
        fresh.setClientID(clientId);
        fresh.setExceptionListener(error -> console.tell("trouble", Map.of("text", error.toString())));
        fresh.start();
        connection = fresh;
        return Map.of();
    }

    /** Create a ticket by request and reply. Fields: destination, mrid, messageID, context, within (milliseconds). */
    private Map<String, String> create(Map<String, String> fields) throws Exception {
        Asking asking = asking();
        TextMessage request = Messages.of(asking.session, aTicket(
                fields.get("mrid"), fields.get("messageID"), fields.getOrDefault("context", "TESTING")));
        return exchange(asking, request, fields);
    }

    /** Ask with an envelope that is given. Fields: destination, text, correlationID, property.NAME, within. */
    private Map<String, String> ask(Map<String, String> fields) throws Exception {
        Asking asking = asking();
        TextMessage request = asking.session.createTextMessage(fields.get("text"));
        request.setJMSCorrelationID(fields.get("correlationID"));
        setProperties(request, fields);
        return exchange(asking, request, fields);
    }

    /** The session of this thread and its queue of replies, which last as long as the connection. */
    private Asking asking() throws JMSException {
        Asking found = askings.get();
        if (found == null || found.connection != connection) {
            found = new Asking(connection);
            askings.set(found);
        }
        return found;
    }

    private Map<String, String> exchange(Asking asking, TextMessage request, Map<String, String> fields)
            throws Exception {
        long patience = Long.parseLong(fields.getOrDefault("within", "20000"));
        try {
            MessageProducer producer =
                    asking.session.createProducer(Messages.destination(asking.session, fields.get("destination")));
            producer.setDeliveryMode(DeliveryMode.PERSISTENT);
            request.setJMSReplyTo(asking.replies);
            producer.send(request);
            producer.close();
            Message reply = asking.replyTo(request, patience);
            return reply == null
                    ? Map.of("asked", request.getJMSMessageID(), "silence", "true")
                    : describe(request, reply);
        } catch (JMSException error) {
            askings.remove(); // the next request has another session
            throw error;
        }
    }

    private static Map<String, String> describe(TextMessage request, Message reply) throws Exception {
        Map<String, String> found = Messages.describe(reply);
        found.put("asked", request.getJMSMessageID());
        if (reply instanceof TextMessage) {
            Envelope envelope = Envelope.read(((TextMessage) reply).getText());
            found.put("root", envelope.root());
            found.put("result", envelope.result());
            found.put("code", envelope.code());
            found.put("correlation", envelope.header("CorrelationID"));
            found.put("source", envelope.header("Source"));
            found.put("ids", String.join(" ", envelope.ids("Reply")));
        }
        return found;
    }

    /**
     * Send what is given, whatever it is. Fields: destination, text, class (text, bytes, map), replyTo, correlationID,
     * priority, timeToLive (milliseconds), property.NAME.
     */
    private Map<String, String> send(Map<String, String> fields) throws Exception {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        try {
            Message message = aMessage(session, fields);
            message.setJMSCorrelationID(fields.get("correlationID"));
            if (fields.containsKey("replyTo")) {
                message.setJMSReplyTo(Messages.destination(session, fields.get("replyTo")));
            }
            setProperties(message, fields);
            MessageProducer producer = session.createProducer(Messages.destination(session, fields.get("destination")));
            producer.send(
                    message,
                    DeliveryMode.PERSISTENT,
                    Integer.parseInt(fields.getOrDefault("priority", "4")),
                    Long.parseLong(fields.getOrDefault("timeToLive", "0")));
            return Map.of("sent", message.getJMSMessageID());
        } finally {
            session.close();
        }
    }

    private static void setProperties(Message message, Map<String, String> fields) throws JMSException {
        for (Map.Entry<String, String> field : fields.entrySet()) {
            if (field.getKey().startsWith("property.")) {
                message.setStringProperty(field.getKey().substring("property.".length()), field.getValue());
            }
        }
    }

    private static Message aMessage(Session session, Map<String, String> fields) throws JMSException {
        switch (fields.getOrDefault("class", "text")) {
            case "bytes":
                BytesMessage bytes = session.createBytesMessage();
                bytes.writeBytes(fields.get("text").getBytes(StandardCharsets.UTF_8));
                return bytes;
            case "map":
                javax.jms.MapMessage map = session.createMapMessage();
                map.setString("text", fields.get("text"));
                return map;
            default:
                return session.createTextMessage(fields.get("text"));
        }
    }

    /** Take one message off a destination. Fields: destination, selector, within (milliseconds). */
    private Map<String, String> receive(Map<String, String> fields) throws Exception {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        try {
            MessageConsumer consumer = session.createConsumer(
                    Messages.destination(session, fields.get("destination")), fields.get("selector"));
            Message message = consumer.receive(Long.parseLong(fields.getOrDefault("within", "20000")));
            return message == null ? Map.of("silence", "true") : Messages.describe(message);
        } finally {
            session.close();
        }
    }

    /** Hear events on a durable subscription. Fields: topic, name, selector. It lasts until `unsubscribe`. */
    private Map<String, String> subscribe(Map<String, String> fields) throws Exception {
        Session session = connection.createSession(false, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createDurableSubscriber(
                session.createTopic(fields.get("topic")), fields.get("name"), fields.get("selector"), false);
        consumer.setMessageListener(message -> hear(fields.get("name"), message));
        return Map.of();
    }

    /** Tell of an event, and acknowledge it then: what was told of was taken, and what was not comes again. */
    private void hear(String subscription, Message message) {
        try {
            Map<String, String> fields = Messages.describe(message);
            fields.put("subscription", subscription);
            console.tell("event", fields);
            message.acknowledge();
        } catch (JMSException error) {
            console.tell("trouble", Map.of("text", error.toString()));
        }
    }

    private Map<String, String> unsubscribe(String name) throws JMSException {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        session.unsubscribe(name);
        session.close();
        return Map.of();
    }

    private static Envelope aTicket(String mrid, String messageId, String context) throws Exception {
        Envelope envelope =
                Envelope.write("RequestMessage", "create", "TroubleTickets", SOURCE, context, messageId, null);
        String now = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString();
        envelope.payload(TICKETS, "TroubleTickets", "TroubleTicket",
                "mRID", mrid, "comment", "Kein Strom \u2013 seit heute fr\u00fch", "dateTimeOfReport", now,
                "Hazards/type", "wire down");
        return envelope;
    }
}

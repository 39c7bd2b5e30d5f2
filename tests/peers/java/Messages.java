import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.ConnectionFactory;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.Queue;
import javax.jms.Session;
import javax.jms.TextMessage;
import javax.jms.Topic;
import javax.naming.InitialContext;
import javax.naming.NamingException;

/** What both programs do with JMS. */
final class Messages {
    private Messages() {}

    /** The broker's client, by JNDI. */
    static ConnectionFactory factory() throws NamingException {
        InitialContext context = new InitialContext();
        try {
            return (ConnectionFactory) context.lookup("ConnectionFactory");
        } finally {
            context.close();
        }
    }

    /** A destination by its text, such as `queue:TESTING.REQUESTS.TroubleTickets.create`. */
    static Destination destination(Session session, String text) throws JMSException {
        String[] parts = text.split(":", 2);
        return parts[0].equals("topic") ? session.createTopic(parts[1]) : session.createQueue(parts[1]);
    }

    /** An envelope as a text message, with the properties by which consumers select. */
    static TextMessage of(Session session, Envelope envelope) throws Exception {
        TextMessage message = session.createTextMessage(envelope.text());
        for (String name : new String[] {"Verb", "Noun", "Context", "Source", "Revision"}) {
            if (envelope.header(name) != null) {
                message.setStringProperty(name, envelope.header(name));
            }
        }
        return message;
    }

    /** All that JMS says about a message, and its text. */
    static Map<String, String> describe(Message message) throws JMSException {
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("class", message instanceof TextMessage ? "TextMessage"
                : message instanceof BytesMessage ? "BytesMessage" : message.getClass().getSimpleName());
        fields.put("JMSMessageID", message.getJMSMessageID());
        fields.put("JMSCorrelationID", message.getJMSCorrelationID());
        fields.put("JMSDestination", nameOf(message.getJMSDestination()));
        fields.put("JMSReplyTo", nameOf(message.getJMSReplyTo()));
        fields.put("JMSTimestamp", Long.toString(message.getJMSTimestamp()));
        fields.put("JMSExpiration", Long.toString(message.getJMSExpiration()));
        fields.put("JMSPriority", Integer.toString(message.getJMSPriority()));
        fields.put("JMSDeliveryMode", Integer.toString(message.getJMSDeliveryMode()));
        fields.put("JMSRedelivered", Boolean.toString(message.getJMSRedelivered()));
        for (Enumeration<?> names = message.getPropertyNames(); names.hasMoreElements(); ) {
            String name = (String) names.nextElement();
            fields.put("property." + name, message.getStringProperty(name));
        }
        if (message instanceof TextMessage) {
            fields.put("text", ((TextMessage) message).getText());
        }
        return fields;
    }

    private static String nameOf(Destination destination) throws JMSException {
        if (destination instanceof Queue) {
            return "queue:" + ((Queue) destination).getQueueName();
        }
        return destination instanceof Topic ? "topic:" + ((Topic) destination).getTopicName() : null;
    }
}

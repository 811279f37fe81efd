/* sinks/kafka_verdict.c - what an error of librdkafka or of a broker means for a
 * record. One table; docs/kafka.md shows the same.
 *
 * What is not in it is RETRY: a cluster has many passing troubles, and the lane's
 * breaker and the age of what is undelivered tell when one does not pass. So is
 * INVALID_TIMESTAMP: a message's time is that of sending, not one of the record's.
 */
#include "sinks/kafka_priv.h"

static const struct {
	rd_kafka_resp_err_t code;
	enum sink_verdict verdict;
} table[] = {
    {RD_KAFKA_RESP_ERR_NO_ERROR, SINK_ACK},

    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SINK_REJECT},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, SINK_REJECT},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, SINK_REJECT},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, SINK_REJECT},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, SINK_REJECT},

    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, SINK_HALT},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, SINK_HALT},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, SINK_HALT},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, SINK_HALT}, /* no name for a topic */
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_HALT},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, SINK_HALT},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SINK_HALT},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, SINK_HALT},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, SINK_HALT},
    {RD_KAFKA_RESP_ERR_SECURITY_DISABLED, SINK_HALT},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, SINK_HALT},
    {RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, SINK_HALT},
    /* Brokers before 0.11, or topics kept in an old format: no idempotence there. */
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, SINK_HALT},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, SINK_HALT},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, SINK_HALT},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, SINK_HALT},
};

enum sink_verdict
kafka_verdict_of(rd_kafka_resp_err_t code)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i].code == code)
			return table[i].verdict;
	return SINK_RETRY;
}

bool
kafka_is_unknown(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
	    code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	    code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static enum err_code
code_of(rd_kafka_resp_err_t code)
{
	switch (kafka_verdict_of(code)) {
	case SINK_REJECT:
		return ERR_REFUSED;
	case SINK_HALT:
		return kafka_is_unknown(code) ? ERR_NOT_FOUND : ERR_AUTH;
	case SINK_ACK:
	case SINK_RETRY:
	case SINK_SPLIT:
		break;
	}
	return ERR_NETWORK;
}

static const char *
remedy(rd_kafka_resp_err_t code)
{
	if (kafka_is_unknown(code))
		return "; there is no such topic, create it";
	if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return "; grant Write and Describe on it";
	if (code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
		return "; grant IdempotentWrite on the cluster";
	if (code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
		return "; messages have the time of sending, so its clock or ours is wrong";
	return "";
}

void
kafka_why(struct err *why, rd_kafka_resp_err_t code, const char *topic)
{
	const char *words = rd_kafka_err2str(code);

	if (topic != NULL)
		(void)err_set(
		    why, code_of(code), "kafka: topic %.249s: %s%s", topic, words, remedy(code));
	else
		(void)err_set(why, code_of(code), "kafka: %s%s", words, remedy(code));
	why->retriable = kafka_verdict_of(code) == SINK_RETRY;
}

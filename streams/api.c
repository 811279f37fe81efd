/* streams/api.c - what every implementation of api.h shares: the names. */
#include "streams/api.h"

const char *
api_code_name(enum api_code c)
{
	switch (c) {
	case API_OK:
		return "ok";
	case API_EXPIRED_ITERATOR:
		return "expired-iterator";
	case API_TRIMMED:
		return "trimmed";
	case API_NOT_FOUND:
		return "not-found";
	case API_LIMIT_EXCEEDED:
		return "limit-exceeded";
	case API_THROTTLED:
		return "throttled";
	case API_VALIDATION:
		return "validation";
	case API_AUTH:
		return "auth";
	case API_SERVER:
		return "server";
	case API_TRANSPORT:
		return "transport";
	case API_MALFORMED:
		return "malformed";
	case API_OTHER:
		return "other";
	}
	return "unknown";
}

const char *
api_op_name(enum api_op op)
{
	static const char *const names[] = {
	    [API_DESCRIBE_TABLE] = "DescribeTable",
	    [API_LIST_STREAMS] = "ListStreams",
	    [API_DESCRIBE_STREAM] = "DescribeStream",
	    [API_GET_SHARD_ITERATOR] = "GetShardIterator",
	    [API_GET_RECORDS] = "GetRecords",
	};

	return names[op];
}

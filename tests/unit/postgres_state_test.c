/* What an SQLSTATE means, and where it is found when a login was refused. */
#include "tests/unit/record_support.h"

#include "sinks/postgres_state.h"

static void
each_code_has_its_verdict(void **state)
{
	static const struct {
		const char *code;
		enum sink_verdict verdict;
		bool drop;
	} cases[] = {
	    {"08006", SINK_RETRY, true},  /* connection_failure */
	    {"57P01", SINK_RETRY, true},  /* admin_shutdown */
	    {"57P02", SINK_RETRY, true},  /* crash_shutdown */
	    {"57P03", SINK_RETRY, true},  /* cannot_connect_now */
	    {"57P04", SINK_HALT, true},	  /* database_dropped */
	    {"57014", SINK_RETRY, false}, /* query_canceled */
	    {"53100", SINK_RETRY, false}, /* disk_full */
	    {"53200", SINK_RETRY, false}, /* out_of_memory */
	    {"53300", SINK_RETRY, true},  /* too_many_connections */
	    {"40001", SINK_RETRY, false}, /* serialization_failure */
	    {"40P01", SINK_RETRY, false}, /* deadlock_detected */
	    {"55P03", SINK_RETRY, false}, /* lock_not_available */
	    {"55000", SINK_HALT, false},  /* object_not_in_prerequisite_state */
	    {"25006", SINK_RETRY, true},  /* read_only_sql_transaction */
	    {"25P02", SINK_RETRY, true},  /* in_failed_sql_transaction */
	    {"25P03", SINK_RETRY, true},  /* idle_in_transaction_session_timeout */
	    {"26000", SINK_RETRY, true},  /* invalid_sql_statement_name */
	    {"58030", SINK_RETRY, false}, /* io_error */
	    {"XX000", SINK_RETRY, true},  /* internal_error */
	    {"XX001", SINK_HALT, false},  /* data_corrupted */
	    {"22003", SINK_SPLIT, false}, /* numeric_value_out_of_range */
	    {"22001", SINK_SPLIT, false}, /* string_data_right_truncation */
	    {"22P05", SINK_SPLIT, false}, /* untranslatable_character */
	    {"23502", SINK_SPLIT, false}, /* not_null_violation */
	    {"23505", SINK_SPLIT, false}, /* unique_violation */
	    {"54000", SINK_SPLIT, false}, /* program_limit_exceeded */
	    {"P0001", SINK_SPLIT, false}, /* raise_exception */
	    {"42P01", SINK_HALT, false},  /* undefined_table */
	    {"42703", SINK_HALT, false},  /* undefined_column */
	    {"42804", SINK_HALT, false},  /* datatype_mismatch */
	    {"42501", SINK_HALT, false},  /* insufficient_privilege */
	    {"42P05", SINK_RETRY, true},  /* duplicate_prepared_statement */
	    {"28000", SINK_HALT, true},	  /* invalid_authorization_specification */
	    {"28P01", SINK_HALT, true},	  /* invalid_password */
	    {"3D000", SINK_HALT, true},	  /* invalid_catalog_name */
	    {"3F000", SINK_HALT, false},  /* invalid_schema_name */
	    {"0A000", SINK_HALT, true},	  /* feature_not_supported */
	    {"99999", SINK_RETRY, true},  /* not in any class we know */
	    {"", SINK_RETRY, true},	  /* libpq itself: the connection */
	    {"22", SINK_RETRY, true},	  /* no code */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct pg_fault *f = pg_fault_of(cases[i].code);

		if (f->verdict != cases[i].verdict || ((f->flags & PG_DROP) != 0) != cases[i].drop)
			fail_msg(
			    "%s: verdict %d, flags %u", cases[i].code, (int)f->verdict, f->flags);
	}
}

static void
code_of_a_refused_login(void **state)
{
	static const struct {
		const char *words, *code;
	} cases[] = {
	    {"connection to server at \"db\" (10.0.0.1), port 5432 failed: FATAL:  28P01: password "
	     "authentication failed for user \"x\"\nLOCATION:  auth_failed, auth.c:335\n",
		"28P01"},
	    {"Verbindung ... fehlgeschlagen: FATAL:  3D000: Datenbank existiert nicht", "3D000"},
	    {"connection to server at \"db\", port 5432 failed: Connection refused\n\tIs the "
	     "server "
	     "running on that host and accepting TCP/IP connections?\n",
		""},
	    {"a failed: FATAL:  28000: x\nb failed: FATAL:  57P03: y\n", "57P03"},
	    {"failed: FATAL:  lower: no code", ""},
	    {":  1234", ""},
	    {"", ""},
	};
	char code[SQLSTATE_LENGTH + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pg_state_of_connection(cases[i].words, code);
		assert_string_equal(code, cases[i].code);
	}
}

static void
words_on_one_line(void **state)
{
	char out[24];

	(void)state;
	pg_words("  one\n\ttwo  three\n", out, sizeof out);
	assert_string_equal(out, "one two three");
	pg_words("failed: x\nLOCATION:  auth.c:1\n", out, sizeof out);
	assert_string_equal(out, "failed: x");
	pg_words("0123456789012345678901234567890", out, sizeof out);
	assert_int_equal(strlen(out), sizeof out - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_code_has_its_verdict),
	    cmocka_unit_test(code_of_a_refused_login),
	    cmocka_unit_test(words_on_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

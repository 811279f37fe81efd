/* daemon/main.c - the commands there are. */
#include "daemon/command.h"

static const struct command *const commands[] = {
    &cmd_run,
    &cmd_check,
    &cmd_tail,
    &cmd_status,
    &cmd_resume,
    &cmd_positions_list,
    &cmd_positions_set,
    &cmd_positions_reset,
    &cmd_gaps_list,
    &cmd_gaps_accept,
    &cmd_dlq_list,
    &cmd_dlq_show,
    &cmd_dlq_replay,
    &cmd_dlq_drop,
    &cmd_audit_verify,
    &cmd_config,
    &cmd_explain,
    &cmd_decrypt,
    NULL,
};

int
main(int argc, char **argv)
{
	return command_main(commands, argc, (const char *const *)argv);
}

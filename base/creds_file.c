/* base/creds_file.c - a profile out of AWS's shared credentials and config
 * files.
 *
 * The format is INI as botocore reads it: [name] in the credentials file,
 * [profile name] or [default] in the config file, key = value, lines that are
 * indented deeper than the key before them belong to it (and mean nothing to
 * us), '#' and ';' begin comments, keys in any case, CRLF allowed. A line that
 * is none of these is an error with its place rather than a guess.
 *
 * The files are the operator's: sizes are bounded, only regular files are
 * read (a FIFO would block the loop), the text is wiped after use.
 */
#include "base/creds_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum { VALUE_MAX = 8192 }; /* session tokens are the longest, seen up to 2 KiB */

struct reading { /* one file on its way */
	struct creds_profile *p;
	struct creds_file *f;
	const char *profile;
	bool is_config;
	bool mine;	   /* inside the wanted section */
	bool have_key;	   /* a key was seen in this section ... */
	size_t key_indent; /* ... at this indentation */
	unsigned line;
};

void
creds_keys_clear(struct sigv4_keys *k)
{
	secret_clear(&k->access_key_id);
	secret_clear(&k->secret_access_key);
	secret_clear(&k->session_token);
}

void
creds_profile_clear(struct creds_profile *p)
{
	creds_keys_clear(&p->credentials.keys);
	creds_keys_clear(&p->config.keys);
	free(p->credentials.path);
	free(p->config.path);
	free(p->region);
	*p = (struct creds_profile){.region = NULL};
}

int
creds_value_check(struct slice value, const char *what, struct err *e)
{
	if (value.n > VALUE_MAX)
		return err_set(e, ERR_AUTH, "creds: %s is longer than %d bytes", what, VALUE_MAX);
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] <= ' ' || value.p[i] >= 0x7f)
			return err_set(e, ERR_AUTH,
			    "creds: %s holds a blank or an unprintable character at byte %zu", what,
			    i + 1);
	return 0;
}

/* ---- the text ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = (struct slice){s.p + 1, s.n - 1};
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* " #" and " ;" begin a comment behind a value. */
static struct slice
without_comment(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '#' || s.p[i] == ';') && (i == 0 || is_blank(s.p[i - 1])))
			return trim((struct slice){s.p, i});
	return trim(s);
}

static bool
name_is(struct slice s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

static struct slice
unquote(struct slice s)
{
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
		return (struct slice){s.p + 1, s.n - 2};
	return s;
}

/* Does "[...]" name our profile in this file? */
static bool
section_is_mine(const struct reading *rd, struct slice name)
{
	static const char word[] = "profile";
	size_t n = sizeof word - 1;

	name = trim(name);
	if (!rd->is_config)
		return slice_is(unquote(name), rd->profile);
	if (name.n > n && memcmp(name.p, word, n) == 0 && is_blank(name.p[n]))
		return slice_is(unquote(trim((struct slice){name.p + n, name.n - n})), rd->profile);
	return slice_is(name, "default") && strcmp(rd->profile, "default") == 0;
}

static int
take_key(const struct reading *rd, struct secret *to, const char *name, struct slice value,
    struct err *e)
{
	char what[400];

	(void)snprintf(what, sizeof what, "%s in %.300s:%u", name, rd->f->path, rd->line);
	if (creds_value_check(value, what, e) == -1)
		return -1;
	secret_set(to, value);
	return 0;
}

static int
take_setting(struct reading *rd, struct slice key, struct slice value, struct err *e)
{
	static const struct {
		const char *key;
		enum creds_missing means;
	} elsewhere[] = {
	    {"web_identity_token_file", CREDS_MISSING_WEB_IDENTITY},
	    {"role_arn", CREDS_MISSING_ROLE},
	    {"sso_session", CREDS_MISSING_SSO},
	    {"sso_start_url", CREDS_MISSING_SSO},
	    {"login_session", CREDS_MISSING_LOGIN},
	    {"credential_process", CREDS_MISSING_PROCESS},
	};
	struct sigv4_keys *keys = &rd->f->keys;

	if (name_is(key, "aws_access_key_id"))
		return take_key(rd, &keys->access_key_id, "aws_access_key_id", value, e);
	if (name_is(key, "aws_secret_access_key"))
		return take_key(rd, &keys->secret_access_key, "aws_secret_access_key", value, e);
	if (name_is(key, "aws_session_token"))
		return take_key(rd, &keys->session_token, "aws_session_token", value, e);
	if (name_is(key, "region") && value.n != 0 && value.n < 64) {
		free(rd->p->region);
		rd->p->region = mem_slicedup(value);
	}
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		if (name_is(key, elsewhere[i].key) && value.n != 0)
			rd->p->names[elsewhere[i].means] = true;
	return 0;
}

static int
malformed(const struct reading *rd, const char *what, struct err *e)
{
	return err_set(e, ERR_AUTH, "creds: %.300s:%u: %s", rd->f->path, rd->line, what);
}

static int
read_section(struct reading *rd, struct slice text, struct err *e)
{
	const char *end = memchr(text.p, ']', text.n);

	if (end == NULL)
		return malformed(rd, "a section without its ']'", e);
	rd->mine = section_is_mine(rd, (struct slice){text.p + 1, (size_t)(end - text.p) - 1});
	rd->f->has_profile |= rd->mine;
	rd->have_key = false;
	return 0;
}

static int
read_line(struct reading *rd, struct slice line, struct err *e)
{
	struct slice text = trim(line);
	size_t indent = text.n != 0 ? (size_t)(text.p - line.p) : 0;
	const char *eq;

	if (text.n == 0 || text.p[0] == '#' || text.p[0] == ';')
		return 0;
	if (rd->have_key && indent > rd->key_indent)
		return 0; /* belongs to the key before */
	if (text.p[0] == '[')
		return read_section(rd, text, e);
	eq = memchr(text.p, '=', text.n);
	if (eq == NULL || eq == text.p)
		return malformed(rd, "neither [section] nor key = value", e);
	rd->have_key = true;
	rd->key_indent = indent;
	if (!rd->mine)
		return 0;
	return take_setting(rd, trim((struct slice){text.p, (size_t)(eq - text.p)}),
	    without_comment((struct slice){eq + 1, text.n - (size_t)(eq - text.p) - 1}), e);
}

static int
read_text(struct reading *rd, struct slice text, struct err *e)
{
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = (struct slice){text.p + 3, text.n - 3};
	while (text.n > 0) {
		const char *nl = memchr(text.p, '\n', text.n);
		size_t n = nl != NULL ? (size_t)(nl - text.p) : text.n;

		rd->line++;
		if (read_line(rd, (struct slice){text.p, n}, e) == -1)
			return -1;
		n += nl != NULL;
		text = (struct slice){text.p + n, text.n - n};
	}
	return 0;
}

/* ---- the file ---- */

static int
slurp(int fd, const char *path, struct buf *out, struct err *e)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_AUTH, "creds: %s is not a regular file", path);
	if (st.st_size > (off_t)LIMIT_CONFIG_FILE)
		return err_set(
		    e, ERR_AUTH, "creds: %s is larger than %u bytes", path, LIMIT_CONFIG_FILE);
	do {
		if (!buf_reserve(out, 4096))
			return err_set(e, ERR_AUTH, "creds: %s is larger than %u bytes", path,
			    LIMIT_CONFIG_FILE);
		n = read(fd, out->p + out->n, 4096);
		if (n > 0)
			out->n += (size_t)n;
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1)
		return err_set(e, ERR_AUTH, "creds: cannot read %s: %s", path, strerror(errno));
	return 0;
}

static int
read_file(struct reading *rd, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_CONFIG_FILE + 8192);
	const char *path = rd->f->path;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r;

	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR)) {
		(void)snprintf(rd->f->why, sizeof rd->f->why, "no such file");
		return 0;
	}
	if (fd == -1)
		return err_set(e, ERR_AUTH, "creds: cannot open %s: %s", path, strerror(errno));
	/* All of it at once: growing would leave copies of secrets behind. */
	r = buf_reserve(&text, text.max)
	    ? slurp(fd, path, &text, e)
	    : err_retry(e, ERR_NOMEM, "creds: out of memory for %s", path);
	(void)close(fd);
	if (r == 0)
		r = read_text(rd, buf_slice(&text), e);
	if (text.n != 0)
		explicit_bzero(text.p, text.n);
	buf_close(&text);
	if (r == 0 && !rd->f->has_profile)
		(void)snprintf(rd->f->why, sizeof rd->f->why, "no such profile in it");
	return r;
}

static char *
join(const char *a, const char *b)
{
	size_t n = strlen(a) + strlen(b) + 1;
	char *s = mem_array(n, 1);

	(void)snprintf(s, n, "%s%s", a, b);
	return s;
}

static void
find_file(
    struct creds_file *f, const char *(*env)(const char *), const char *variable, const char *usual)
{
	const char *path = env(variable);
	const char *home = env("HOME");

	if (path != NULL && path[0] != '\0' && strncmp(path, "~/", 2) != 0) {
		f->path = mem_strdup(path);
		return;
	}
	if (home == NULL || home[0] == '\0') {
		(void)snprintf(f->why, sizeof f->why, "neither %s nor HOME is set", variable);
		return;
	}
	f->path = join(home, path != NULL && path[0] != '\0' ? path + 1 : usual);
}

int
creds_profile_read(
    struct creds_profile *p, const char *name, const char *(*env)(const char *name), struct err *e)
{
	struct reading credentials = {.p = p, .f = &p->credentials, .profile = name};
	struct reading config = {.p = p, .f = &p->config, .profile = name, .is_config = true};

	*p = (struct creds_profile){.region = NULL};
	find_file(&p->credentials, env, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
	find_file(&p->config, env, "AWS_CONFIG_FILE", "/.aws/config");
	if (p->config.path != NULL && read_file(&config, e) == -1)
		return -1;
	if (p->credentials.path != NULL && read_file(&credentials, e) == -1)
		return -1;
	return 0;
}

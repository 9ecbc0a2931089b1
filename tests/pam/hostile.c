/* A PAM module that does what modules should not. The first argument names the misdeed. Compiled by tests/it/broker. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

static _Noreturn void hang(void) { for (;;) pause(); }

static _Noreturn void block_alarm(void) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    hang();
}

static _Noreturn void spin(void) { for (volatile unsigned long n = 0;; n++) {} }

/* Asks, and succeeds if the answer is `expected`. */
static int ask(pam_handle_t *pamh, int style, const char *text, const char *expected) {
    char *answer = NULL;
    int code = pam_prompt(pamh, style, &answer, "%s", text);
    if (code != PAM_SUCCESS) return code;
    code = answer && strcmp(answer, expected) == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
    free(answer);
    return code;
}

static int two_prompts(pam_handle_t *pamh) {
    int code = ask(pamh, PAM_PROMPT_ECHO_ON, "Badge: ", "42");
    if (code != PAM_SUCCESS) return code;
    pam_info(pamh, "A code was sent");
    code = ask(pamh, PAM_PROMPT_ECHO_OFF, "Code: ", "s3cret");
    if (code == PAM_SUCCESS) pam_info(pamh, "Welcome");
    return code;
}

static int ask_for_ever(pam_handle_t *pamh) {
    for (;;) if (ask(pamh, PAM_PROMPT_ECHO_ON, "Again: ", "never") == PAM_CONV_ERR) return PAM_CONV_ERR;
}

/* Goes on as if nothing had happened when nobody answers. */
static int ignore_answers(pam_handle_t *pamh) {
    ask(pamh, PAM_PROMPT_ECHO_ON, "Whatever: ", "x");
    return PAM_SUCCESS;
}

static int flood(pam_handle_t *pamh) {
    char text[60000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (int i = 0; i < 200; i++) pam_error(pamh, "%s", text);
    return PAM_AUTH_ERR;
}

static int scribble(void) {
    for (int fd = 0; fd < 64; fd++) if (write(fd, "garbage garbage garbage\n", 24) < 0) continue;
    printf("garbage\n");
    fflush(stdout);
    return PAM_SUCCESS;
}

/* Every descriptor that there is, the sockets to gateway and broker included. */
static int scribble_everywhere(void) {
    for (int fd = 0; fd < 4096; fd++) if (write(fd, "garbage garbage garbage\n", 24) < 0) continue;
    return PAM_SUCCESS;
}

/* One text and one prompt of a megabyte each. */
static int megabyte(pam_handle_t *pamh) {
    char *text = malloc(1 << 20);
    if (!text) return PAM_BUF_ERR;
    memset(text, 'M', (1 << 20) - 1);
    text[(1 << 20) - 1] = 0;
    ask(pamh, PAM_PROMPT_ECHO_ON, "First: ", "x");
    pam_info(pamh, "%s", text);
    int code = ask(pamh, PAM_PROMPT_ECHO_ON, text, "x");
    pam_error(pamh, "%s", text);
    free(text);
    return code;
}

/* Says everything that a page, a terminal, JSON or a log might take for its own, in each place there is. */
static int markup(pam_handle_t *pamh) {
    static const char evil[] = "\"><script>alert(1)</script>&amp;\r\nSet-Cookie: x=1\033]0;title\a\xff\xc3\x28\xe2\x80\xae{\"a\":1}";
    ask(pamh, PAM_PROMPT_ECHO_ON, "First: ", "x");
    pam_info(pamh, "%s", evil);
    pam_error(pamh, "%s", evil);
    int code = ask(pamh, PAM_PROMPT_ECHO_OFF, evil, "x");
    if (code == PAM_SUCCESS) pam_info(pamh, "%s", evil);
    return code;
}

/* Greets, speaks between two questions, and says goodbye. */
static int talk(pam_handle_t *pamh) {
    pam_info(pamh, "The account is locked due to 3 failed logins.");
    int code = ask(pamh, PAM_PROMPT_ECHO_ON, "First: ", "1");
    if (code != PAM_SUCCESS) return code;
    pam_error(pamh, "An error between");
    pam_info(pamh, "A note between");
    code = ask(pamh, PAM_RADIO_TYPE, "Push to your phone?", "yes");
    if (code != PAM_SUCCESS) return code;
    pam_info(pamh, "A note before the last");
    code = ask(pamh, PAM_PROMPT_ECHO_OFF, "Last: ", "2");
    if (code == PAM_SUCCESS) pam_info(pamh, "Goodbye");
    return code;
}

/* A daemon: no parent, no session, no group and every file open. */
static int leave_daemon(pam_handle_t *pamh) {
    int ends[2];
    pid_t pid = 0;
    if (pipe(ends) < 0) return PAM_SYSTEM_ERR;
    if (fork() == 0) {
        setsid();
        pid = fork();
        if (pid == 0) { setsid(); signal(SIGTERM, SIG_IGN); hang(); }
        if (write(ends[1], &pid, sizeof pid) < 0) _exit(1);
        _exit(0);
    }
    if (read(ends[0], &pid, sizeof pid) != sizeof pid) return PAM_SYSTEM_ERR;
    close(ends[0]), close(ends[1]);
    pam_info(pamh, "left %d", (int)pid);
    return PAM_SUCCESS;
}

/* Tells what the child looks like from inside. */
static int tell(pam_handle_t *pamh) {
    const void *rhost = NULL, *tty = NULL, *service = NULL;
    struct rlimit core;
    char fds[256] = "";
    mode_t mask = umask(0);
    umask(mask);
    pam_get_item(pamh, PAM_RHOST, &rhost);
    pam_get_item(pamh, PAM_TTY, &tty);
    pam_get_item(pamh, PAM_SERVICE, &service);
    getrlimit(RLIMIT_CORE, &core);
    for (int fd = 3; fd < 200; fd++) if (fcntl(fd, F_GETFD) >= 0) strcat(fds, "+");
    pam_info(pamh, "rhost=%s tty=%s nice=%d core=%lu umask=%o low=%s secret=%s path=%s group=%d",
             (const char *)rhost, (const char *)tty, getpriority(PRIO_PROCESS, 0), (unsigned long)core.rlim_cur, mask,
             fds, getenv("DOORWARD_TEST_SECRET") ? "seen" : "gone", getenv("PATH"), getpgrp() == getpid());
    return PAM_SUCCESS;
}

/* Leaves a process behind that keeps every file open, and tells its number. */
static int leave_process(pam_handle_t *pamh) {
    pid_t pid = fork();
    if (pid == 0) hang();
    pam_info(pamh, "left %d", (int)pid);
    return PAM_SUCCESS;
}

static int misdeed(pam_handle_t *pamh, int argc, const char **argv) {
    const char *what = argc > 0 ? argv[0] : "";
    if (!strcmp(what, "hang")) hang();
    if (!strcmp(what, "block")) block_alarm();
    if (!strcmp(what, "spin")) spin();
    if (!strcmp(what, "segv")) return raise(SIGSEGV);
    if (!strcmp(what, "exit")) exit(0);
    if (!strcmp(what, "abort")) abort();
    if (!strcmp(what, "two")) return two_prompts(pamh);
    if (!strcmp(what, "ever")) return ask_for_ever(pamh);
    if (!strcmp(what, "ignore")) return ignore_answers(pamh);
    if (!strcmp(what, "radio")) return ask(pamh, PAM_RADIO_TYPE, "Sure?", "yes");
    if (!strcmp(what, "flood")) return flood(pamh);
    if (!strcmp(what, "write")) return scribble();
    if (!strcmp(what, "tell")) return tell(pamh);
    if (!strcmp(what, "leave")) return leave_process(pamh);
    if (!strcmp(what, "daemon")) return leave_daemon(pamh);
    if (!strcmp(what, "write-all")) return scribble_everywhere();
    if (!strcmp(what, "megabyte")) return megabyte(pamh);
    if (!strcmp(what, "markup")) return markup(pamh);
    if (!strcmp(what, "talk")) return talk(pamh);
    if (!strcmp(what, "lie")) return pam_set_item(pamh, PAM_USER, "evil\r\n\033[2J<script>\xff");
    if (!strcmp(what, "nameless")) return pam_set_item(pamh, PAM_USER, NULL);
    if (!strcmp(what, "escape")) return ask(pamh, PAM_PROMPT_ECHO_ON, "a\r\nb\033[2Jc\xff: ", "x");
    if (!strcmp(what, "unavail")) return PAM_AUTHINFO_UNAVAIL;
    if (!strcmp(what, "code")) return argc > 1 ? atoi(argv[1]) : PAM_SYSTEM_ERR;
    if (!strcmp(what, "rename")) return pam_set_item(pamh, PAM_USER, argv[1]);
    if (!strcmp(what, "env")) return pam_putenv(pamh, "DOORWARD_ONE=1") | pam_putenv(pamh, "DOORWARD_TWO=2");
    if (!strcmp(what, "ask-hang")) { ask(pamh, PAM_PROMPT_ECHO_ON, "Then hang: ", ""); hang(); }
    return PAM_SYSTEM_ERR;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv) {
    (void)flags;
    return misdeed(pamh, argc, argv);
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv) {
    (void)pamh, (void)flags, (void)argc, (void)argv;
    return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv) {
    (void)flags;
    return misdeed(pamh, argc, argv);
}

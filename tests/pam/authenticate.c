/* Asks libpam about every service file of a folder: prints its name and whether pam_authenticate(3) succeeds for root
 * though nobody says anything. */
#include <dirent.h>
#include <security/pam_appl.h>
#include <stdio.h>

/* Linux-PAM 1.4; not in the header of every system that has it. */
int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

static int silent(int count, const struct pam_message **messages, struct pam_response **answers, void *data) {
    (void)count, (void)messages, (void)answers, (void)data;
    return PAM_CONV_ERR;
}

int main(int argc, char **argv) {
    struct pam_conv conversation = {silent, NULL};
    struct dirent *entry;
    DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
    if (!folder) return 1;
    while ((entry = readdir(folder))) {
        pam_handle_t *handle = NULL;
        if (entry->d_name[0] == '.') continue;
        /* A service that cannot be read at all lets nobody in. */
        int result = pam_start_confdir(entry->d_name, "root", &conversation, argv[1], &handle);
        if (result == PAM_SUCCESS) result = pam_authenticate(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
        printf("%s %s\n", entry->d_name, result == PAM_SUCCESS ? "in" : "out");
        if (handle) pam_end(handle, result);
    }
    closedir(folder);
    return 0;
}

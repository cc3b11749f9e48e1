/* Linked to, never loaded. */
void dlopen(void) {}
void dlsym(void) {}
void dlerror(void) {}
void dlclose(void) {}

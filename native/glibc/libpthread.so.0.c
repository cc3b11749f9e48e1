/* Linked to, never loaded. */
void pthread_create(void) {}
void pthread_join(void) {}
void pthread_once(void) {}
void __pthread_key_create(void) {}
void pthread_setname_np(void) {}

SELECT lo_unlink(4711);

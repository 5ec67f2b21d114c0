SELECT length(lo_get(4711));

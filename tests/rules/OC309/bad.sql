DELETE FROM okto_change.applied WHERE change = 'mine';

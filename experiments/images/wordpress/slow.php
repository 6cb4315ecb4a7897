<?php
// Answers after so many milliseconds: what waits for others, and can only do so much at once.
usleep(1000 * min(10000, (int) ($_GET['ms'] ?? 100)));
echo "ok\n";

<?php
// What somebody did not try before it was released.
throw new Error('this release is broken');

<?php
// Compiles what a page is made of into the file cache of the image.
foreach (['/usr/share/wordpress', '/etc/wordpress'] as $folder) {
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($folder)) as $file) {
        if ($file->getExtension() === 'php' && !str_contains($file, '/wp-admin/')) @opcache_compile_file($file);
    }
}

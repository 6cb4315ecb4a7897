// The steps of container_child.h that change who the process is and what it may do. Private to CLinux.
#ifndef SKALA_CONTAINER_CREDENTIALS_H
#define SKALA_CONTAINER_CREDENTIALS_H

#include "container_child.h"

int cl_step_bounding(const cl_step *step);
int cl_step_user(const cl_step *step);
int cl_step_capabilities(const cl_step *step);

#endif

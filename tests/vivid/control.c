// Sets a control of a V4L2 device by its name: control /dev/video0 "Disconnect" 1
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int fd = open(argv[1], O_RDWR);
    if (fd < 0) return perror(argv[1]), 1;
    struct v4l2_query_ext_ctrl query = {.id = V4L2_CTRL_FLAG_NEXT_CTRL};
    while (ioctl(fd, VIDIOC_QUERY_EXT_CTRL, &query) == 0) {
        if (strcmp(query.name, argv[2]) == 0) {
            struct v4l2_ext_control control = {.id = query.id, .value = atoi(argv[3])};
            struct v4l2_ext_controls controls = {.which = V4L2_CTRL_WHICH_CUR_VAL, .count = 1, .controls = &control};
            if (ioctl(fd, VIDIOC_S_EXT_CTRLS, &controls) != 0) return perror(argv[2]), 1;
            return 0;
        }
        query.id |= V4L2_CTRL_FLAG_NEXT_CTRL;
    }
    fprintf(stderr, "no control named %s\n", argv[2]);
    return 1;
}

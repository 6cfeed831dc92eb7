# What more nodes bring, and what their control costs (simulated; kvsim growth). Called with
#   lines = "ring central": a file growth-NAME.tsv each, with nodes, ops/s, control bytes a second of a node: mean, busiest.
set datafile separator "\t"
set datafile missing NaN
set terminal svg size 960,400 font 'sans-serif,13' background 'white' dynamic
set output 'growth.svg'
array MARK[3] = [7, 4, 8]
array COLOUR[3] = ['#1f5f8b', '#c04000', '#606060']
do for [pass = 1:2] {
    if (pass == 2) {
        set terminal pngcairo size 960,400 font 'sans,10' background 'white'
        set output 'growth.png'
    }
    set multiplot layout 1,2
    set border 3
    set tics nomirror
    set logscale xy
    set grid lc rgb '#c0c0c0' lw 0.5
    set key top left reverse Left
    set xlabel 'nodes'
    set xtics (3, 5, 10, 20, 50, 100, 300, 1000)
    set xrange [2.5:*]
    set title 'operations a second'
    plot for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($2 > 0 ? $2 : NaN) with linespoints \
        lw 2 dt i pt MARK[i] ps 1 lc rgb COLOUR[i] title word(lines, i)
    set title 'control traffic, bytes a second'
    plot for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($3 > 0 ? $3 : NaN) with linespoints \
            lw 2 dt i pt MARK[i] ps 1 lc rgb COLOUR[i] title word(lines, i).', mean of all nodes', \
         for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($4 > 0 ? $4 : NaN) with linespoints \
            lw 1 dt i pt MARK[i] ps 0.5 lc rgb COLOUR[i] title word(lines, i).', busiest node'
    unset multiplot
}
